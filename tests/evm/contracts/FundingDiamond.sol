// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// Stands in for a SYMMIO Diamond where funding is charged: the same call, the same event, the same conditions.
contract FundingDiamond {
    struct LockedValues {
        uint256 cva;
        uint256 lf;
        uint256 partyAmm;
        uint256 partyBmm;
    }

    struct Quote {
        uint256 id;
        address[] partyBsWhiteList;
        uint256 symbolId;
        uint8 positionType;
        uint8 orderType;
        uint256 openedPrice;
        uint256 initialOpenedPrice;
        uint256 requestedOpenPrice;
        uint256 marketPrice;
        uint256 quantity;
        uint256 closedAmount;
        LockedValues initialLockedValues;
        LockedValues lockedValues;
        uint256 maxFundingRate;
        address partyA;
        address partyB;
        uint8 quoteStatus;
        uint256 avgClosedPrice;
        uint256 requestedClosePrice;
        uint256 quantityToClose;
        uint256 parentId;
        uint256 createTimestamp;
        uint256 statusModifyTimestamp;
        uint256 lastFundingPaymentTimestamp;
        uint256 deadline;
        uint256 tradingFee;
        address affiliate;
    }

    struct SchnorrSign {
        uint256 signature;
        address owner;
        address nonce;
    }

    struct PairUpnlSig {
        bytes reqId;
        uint256 timestamp;
        int256 upnlPartyA;
        int256 upnlPartyB;
        bytes gatewaySignature;
        SchnorrSign sigs;
    }

    struct Seed {
        address partyA;
        address partyB;
        uint256 symbolId;
        uint8 positionType;
        uint256 quantity;
        uint256 openedPrice;
        uint256 maxFundingRate;
    }

    struct Symbol {
        string name;
        uint256 epoch;
        uint256 window;
    }

    struct SymbolView {
        uint256 symbolId;
        string name;
        bool isValid;
        uint256 minAcceptableQuoteValue;
        uint256 minAcceptablePortionLF;
        uint256 tradingFee;
        uint256 maxLeverage;
        uint256 fundingRateEpochDuration;
        uint256 fundingRateWindowTime;
    }

    event ChargeFundingRate(address partyB, address partyA, uint256[] quoteIds, int256[] rates);
    event EmergencyClosePosition(
        uint256 quoteId, address partyA, address partyB, uint256 filledAmount,
        uint256 closedPrice, uint8 quoteStatus, uint256 closeId
    );

    event BalanceChangePartyA(address indexed partyA, uint256 amount, uint8 _type);

    int256 private constant E18 = 1e18;

    address private immutable gateway;
    bool private paused;
    uint256 private validFor = 60;
    uint256 private lastId;
    mapping(uint256 => Quote) private quotes;
    mapping(uint256 => string) private refusals;
    mapping(uint256 => uint256) public charges;
    mapping(uint256 => Symbol) private symbols;
    uint256[] private symbolIds;
    mapping(address => uint256) private nonceA;
    mapping(address => mapping(address => uint256)) private nonceB;
    mapping(address => uint256) private allocatedA;
    mapping(address => mapping(address => uint256)) private allocatedB;
    mapping(address => LockedValues) private lockedA;
    mapping(address => bool) private liquidated;

    constructor(address gateway_) {
        gateway = gateway_;
    }

    function chargeFundingRate(
        address partyA,
        uint256[] memory quoteIds,
        int256[] memory rates,
        PairUpnlSig memory upnlSig
    ) external {
        require(!paused, "Pausable: party B's actions are paused");
        require(!liquidated[partyA], "party A is under liquidation");
        require(quoteIds.length == rates.length && quoteIds.length > 0, "one rate a quote");
        verify(upnlSig, msg.sender, partyA);
        int256 availableA = int256(allocatedA[partyA]) + upnlSig.upnlPartyA;
        availableA -= int256(lockedA[partyA].cva + lockedA[partyA].lf);
        int256 availableB = int256(allocatedB[msg.sender][partyA]) + upnlSig.upnlPartyB;
        for (uint256 i = 0; i < quoteIds.length; i++) {
            int256 moved = charge(quoteIds[i], rates[i], partyA);
            availableA -= moved;
            availableB += moved;
        }
        require(availableA >= 0, "party A would be insolvent");
        require(availableB >= 0, "party B would be insolvent");
        nonceA[partyA] += 1;
        nonceB[msg.sender][partyA] += 1;
        emit ChargeFundingRate(msg.sender, partyA, quoteIds, rates);
    }

    function charge(uint256 id, int256 rate, address partyA) private returns (int256 moved) {
        Quote storage quote = quotes[id];
        require(quote.partyA == partyA && quote.partyB == msg.sender, "not a quote of the pair");
        require(quote.quoteStatus >= 4 && quote.quoteStatus <= 6, "the quote is not open");
        require(bytes(refusals[id]).length == 0, refusals[id]);
        uint256 size = rate < 0 ? uint256(-rate) : uint256(rate);
        require(size <= quote.maxFundingRate, "the rate is above the quote's maximum");
        uint256 paid = payable_epoch(symbols[quote.symbolId]);
        require(paid > quote.lastFundingPaymentTimestamp, "the epoch is paid");
        quote.lastFundingPaymentTimestamp = paid;
        charges[id] += 1;
        uint256 difference = quote.openedPrice * size / uint256(E18);
        bool raises = (rate >= 0) == (quote.positionType == 0);
        quote.openedPrice = raises ? quote.openedPrice + difference : quote.openedPrice - difference;
        int256 amount = int256((quote.quantity - quote.closedAmount) * difference / uint256(E18));
        return rate >= 0 ? amount : -amount;
    }

    function payable_epoch(Symbol memory symbol) private view returns (uint256) {
        require(symbol.epoch > 0, "the market has no funding");
        uint256 latest = block.timestamp / symbol.epoch * symbol.epoch;
        if (block.timestamp <= latest + symbol.window) {
            return latest;
        }
        require(block.timestamp + symbol.window >= latest + symbol.epoch, "outside of the window");
        return latest + symbol.epoch;
    }

    function verify(PairUpnlSig memory sig, address partyB, address partyA) private view {
        require(block.timestamp <= sig.timestamp + validFor, "the signature has expired");
        bytes32 hash = keccak256(
            abi.encodePacked(
                address(this), partyB, partyA, nonceB[partyB][partyA], nonceA[partyA],
                sig.upnlPartyB, sig.upnlPartyA, sig.timestamp, block.chainid
            )
        );
        bytes32 signed = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", hash));
        bytes memory signature = sig.gatewaySignature;
        require(signature.length == 65, "no signature");
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
        require(ecrecover(signed, v, r, s) == gateway, "the signature is not of this state");
    }

    // What the executor asks.

    function getQuote(uint256 id) external view returns (Quote memory) {
        return quotes[id];
    }

    function nonceOfPartyA(address partyA) external view returns (uint256) {
        return nonceA[partyA];
    }

    function nonceOfPartyB(address partyB, address partyA) external view returns (uint256) {
        return nonceB[partyB][partyA];
    }

    function partyAStats(address partyA) external view returns (bool, uint256[13] memory values) {
        values[9] = openIds(partyA).length;
        return (liquidated[partyA], values);
    }

    function balanceInfoOfPartyA(address partyA) external view returns (uint256[9] memory values) {
        values[0] = allocatedA[partyA];
        values[1] = lockedA[partyA].cva;
        values[2] = lockedA[partyA].lf;
    }

    function balanceInfoOfPartyB(address partyB, address partyA) external view returns (uint256[9] memory values) {
        values[0] = allocatedB[partyB][partyA];
    }

    function getMuonConfig() external view returns (uint256, uint256) {
        return (validFor, validFor);
    }

    // What else an ingest asks that joins.

    function getNextQuoteId() external view returns (uint256) {
        return lastId;
    }

    function getPartyAOpenPositions(
        address partyA, uint256 start, uint256 size
    ) external view returns (Quote[] memory page) {
        uint256[] memory ids = openIds(partyA);
        page = new Quote[](ids.length - start < size ? ids.length - start : size);
        for (uint256 i = 0; i < page.length; i++) {
            page[i] = quotes[ids[start + i]];
        }
    }

    function getPartyAPendingQuotes(address) external pure returns (uint256[] memory none) {}

    function getSymbols(uint256 start, uint256 size) external view returns (SymbolView[] memory page) {
        page = new SymbolView[](symbolIds.length - start < size ? symbolIds.length - start : size);
        for (uint256 i = 0; i < page.length; i++) {
            uint256 id = symbolIds[start + i];
            page[i] = SymbolView(id, symbols[id].name, true, 0, 0, 0, 0, symbols[id].epoch, symbols[id].window);
        }
    }

    function openIds(address partyA) private view returns (uint256[] memory ids) {
        uint256 count = 0;
        for (uint256 pass = 0; pass < 2; pass++) {
            if (pass == 1) {
                ids = new uint256[](count);
                count = 0;
            }
            for (uint256 id = 1; id <= lastId; id++) {
                if (quotes[id].partyA == partyA && quotes[id].quoteStatus == 4) {
                    if (pass == 1) ids[count] = id;
                    count += 1;
                }
            }
        }
    }

    // What a test sets.

    function setSymbol(uint256 id, string calldata name, uint256 epoch, uint256 window) external {
        if (symbols[id].epoch == 0) symbolIds.push(id);
        symbols[id] = Symbol(name, epoch, window);
    }

    function open(Seed[] calldata seeds) external {
        for (uint256 i = 0; i < seeds.length; i++) {
            Quote storage quote = quotes[++lastId];
            quote.id = lastId;
            quote.symbolId = seeds[i].symbolId;
            quote.positionType = seeds[i].positionType;
            quote.openedPrice = quote.initialOpenedPrice = seeds[i].openedPrice;
            quote.quantity = seeds[i].quantity;
            quote.maxFundingRate = seeds[i].maxFundingRate;
            quote.partyA = seeds[i].partyA;
            quote.partyB = seeds[i].partyB;
            quote.quoteStatus = 4;
        }
    }

    function fund(address partyB, address partyA, uint256 amountA, uint256 amountB, uint256 cva) external {
        allocatedA[partyA] = amountA;
        allocatedB[partyB][partyA] = amountB;
        lockedA[partyA].cva = cva;
    }

    function act(address partyB, address partyA) external {
        nonceA[partyA] += 1;
        nonceB[partyB][partyA] += 1;
    }

    /// Closes what is open at the price at which it was opened, so that nobody wins.
    function close(uint256 id) external {
        Quote storage quote = quotes[id];
        if (quote.quoteStatus != 4) return;
        uint256 amount = quote.quantity - quote.closedAmount;
        quote.closedAmount = quote.quantity;
        quote.quoteStatus = 7;
        // At the price that it was opened at nothing is won or lost, and that is said too.
        emit BalanceChangePartyA(quote.partyA, 0, 4);
        emit EmergencyClosePosition(id, quote.partyA, quote.partyB, amount, quote.openedPrice, 7, id);
    }

    function setStatus(uint256 id, uint8 status) external {
        quotes[id].quoteStatus = status;
    }

    function refuse(uint256 id, string calldata reason) external {
        refusals[id] = reason;
    }

    function setValidFor(uint256 value) external {
        validFor = value;
    }

    function setPaused(bool value) external {
        paused = value;
    }

    function setLiquidated(address partyA, bool value) external {
        liquidated[partyA] = value;
    }
}
