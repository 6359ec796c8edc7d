// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// A party B that is a contract: one key may call through it, and it does not say why a call failed.
contract TrustedCaller {
    address private immutable target;
    address private immutable trusted;

    constructor(address target_, address trusted_) {
        target = target_;
        trusted = trusted_;
    }

    function _call(bytes[] calldata callDatas) external {
        require(msg.sender == trusted, "not trusted");
        for (uint256 i = 0; i < callDatas.length; i++) {
            (bool success, ) = target.call(callDatas[i]);
            require(success, "a call failed");
        }
    }
}
