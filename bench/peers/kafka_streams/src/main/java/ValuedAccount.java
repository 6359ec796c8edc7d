import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * An account decoded once, and its row at given marks: the columns of Tidemark's valuations, to the byte.
 *
 * <p>It has what the benchmark's accounts have: open positions, no pending quotes, nothing suspect.
 */
final class ValuedAccount {
    /** A mark as it is multicast: its price 1e18-scaled. */
    public record Mark(int symbol, String key, String mark, long event_ms, long offset) {}

    /** A mark with its price read. */
    record Used(Mark mark, BigInteger price) {}

    private record Position(
        long quote, int symbol, boolean isShort, String partyB, BigInteger amount, BigInteger openedPrice) {}

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonFactory FACTORY = new JsonFactory();
    private static final BigInteger E18 = BigInteger.TEN.pow(18);
    private static final BigInteger BPS = BigInteger.valueOf(10_000);
    private static final BigInteger MOST = BigInteger.valueOf(Long.MAX_VALUE);
    private static final int HEAD_BYTES = 16;

    private final long term;
    private final long version;
    private final JsonNode row;
    private final List<Position> positions = new ArrayList<>();
    private final Map<String, BigInteger> allocatedBy = new HashMap<>();
    private final BigInteger allocated;
    private final BigInteger lockedForLiquidation;
    private final BigInteger maintenance;
    private final BigInteger pending;
    private final String notionalOpened;
    private final String balances;
    private final String partyB;

    private ValuedAccount(byte[] value) throws IOException {
        ByteBuffer head = ByteBuffer.wrap(value);
        term = head.getLong();
        version = head.getLong();
        row = JSON.readTree(value, HEAD_BYTES, value.length - HEAD_BYTES);
        JsonNode state = row.get("state");
        JsonNode cells = state.get("balances");
        JsonNode locked = cells.get(1);
        JsonNode pendingCells = cells.get(2);
        allocated = number(cells.get(0));
        lockedForLiquidation = number(locked.get(0)).add(number(locked.get(1)));
        maintenance = number(locked.get(2));
        pending = number(pendingCells.get(0)).add(number(pendingCells.get(1))).add(number(pendingCells.get(2)));
        balances = "\"" + cells.get(0).asText() + "\",\"locked\":" + locked + ",\"pending\":" + pendingCells;
        partyB = state.get("party_b").toString();
        state.get("party_b").properties().forEach(
            bucket -> allocatedBy.put(bucket.getKey(), number(bucket.getValue().get(0))));
        BigInteger opened = BigInteger.ZERO;
        for (JsonNode quote : state.get("quotes")) {
            Position position = new Position(
                quote.get("quote_id").asLong(), quote.get("symbol_id").asInt(),
                quote.get("position_type").asInt() == 1, quote.get("party_b").asText(),
                number(quote.get("quantity")).subtract(number(quote.get("closed_amount"))),
                number(quote.get("opened_price")));
            positions.add(position);
            opened = opened.add(position.amount().multiply(position.openedPrice()).divide(E18));
        }
        notionalOpened = opened.toString();
    }

    static ValuedAccount decode(byte[] value) {
        try {
            return new ValuedAccount(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    int[] symbols() {
        return positions.stream().mapToInt(Position::symbol).toArray();
    }

    /** The row, null while a market of it has no mark. */
    byte[] row(Map<Integer, Used> marks, String settings, long atMs) {
        int count = positions.size();
        Used[] used = new Used[count];
        BigInteger[] upnls = new BigInteger[count];
        BigInteger[] notionals = new BigInteger[count];
        BigInteger upnl = BigInteger.ZERO;
        BigInteger notional = BigInteger.ZERO;
        long asOfMs = Long.MAX_VALUE;
        Map<String, BigInteger> byPartyB = new HashMap<>();
        for (int at = 0; at < count; at++) {
            Position position = positions.get(at);
            used[at] = marks.get(position.symbol());
            if (used[at] == null) {
                return null;
            }
            BigInteger price = used[at].price();
            BigInteger moved = price.subtract(position.openedPrice());
            upnls[at] = (position.isShort() ? moved.negate() : moved).multiply(position.amount()).divide(E18);
            notionals[at] = position.amount().multiply(price).divide(E18);
            upnl = upnl.add(upnls[at]);
            notional = notional.add(notionals[at]);
            byPartyB.merge(position.partyB(), upnls[at], BigInteger::add);
            asOfMs = Math.min(asOfMs, used[at].mark().event_ms());
        }
        BigInteger capped = BigInteger.ZERO;
        for (var part : byPartyB.entrySet()) {
            capped = capped.add(part.getValue().min(allocatedBy.getOrDefault(part.getKey(), BigInteger.ZERO)));
        }
        try {
            return write(used, upnls, notionals, new Sums(upnl, capped, notional, asOfMs), settings, atMs);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private record Sums(BigInteger upnl, BigInteger capped, BigInteger notional, long asOfMs) {}

    private byte[] write(
        Used[] used, BigInteger[] upnls, BigInteger[] notionals, Sums sums, String settings, long atMs)
        throws IOException {
        BigInteger available = allocated.subtract(lockedForLiquidation).add(sums.upnl());
        BigInteger spent = sums.upnl().signum() >= 0
            ? maintenance.subtract(sums.upnl()) : sums.upnl().negate().max(maintenance);
        BigInteger forQuote = allocated.subtract(lockedForLiquidation).subtract(spent).subtract(pending);
        ByteArrayBuilder bytes = new ByteArrayBuilder(2_048);
        try (JsonGenerator out = FACTORY.createGenerator(bytes)) {
            out.writeStartObject();
            out.writeFieldName("account_order");
            out.writeArray(new long[] {term, version}, 0, 2);
            raw(out, "position", row.get("applied").toString());
            raw(out, "block", row.get("block").toString());
            raw(out, "time_s", row.get("time_s").toString());
            out.writeStringField("status", "valued");
            out.writeNumberField("stale", 0);
            out.writeNumberField("unpriced", 0);
            out.writeStringField("upnl", sums.upnl().toString());
            out.writeStringField("upnl_capped", sums.capped().toString());
            out.writeStringField("notional", sums.notional().toString());
            out.writeStringField("notional_opened", notionalOpened);
            out.writeStringField("equity", allocated.add(sums.upnl()).toString());
            out.writeStringField("available_balance", available.toString());
            out.writeStringField("available_for_quote", forQuote.toString());
            raw(out, "allocated", balances);
            out.writeBooleanField("liquidating", row.get("state").get("liquidating").asBoolean());
            out.writeBooleanField("liquidatable", available.signum() < 0);
            distance(out, available, sums.notional());
            out.writeNumberField("as_of_ms", sums.asOfMs());
            out.writeArrayFieldStart("positions");
            for (int at = 0; at < used.length; at++) {
                write(out, positions.get(at), used[at], upnls[at], notionals[at]);
            }
            out.writeEndArray();
            raw(out, "pending_quotes", "[]");
            raw(out, "party_b", partyB);
            raw(out, "owner", row.get("state").get("owner").toString());
            raw(out, "multi_account", row.get("state").get("multi_account").toString());
            raw(out, "name", row.get("state").get("name").toString());
            out.writeNullField("last_complete");
            out.writeObjectFieldStart("made_from");
            out.writeNumberField("at_ms", atMs);
            out.writeStringField("venue", "symmio/1");
            out.writeStringField("settings", settings);
            out.writeEndObject();
            out.writeEndObject();
        }
        return bytes.toByteArray();
    }

    private static void write(JsonGenerator out, Position position, Used used, BigInteger upnl, BigInteger notional)
        throws IOException {
        out.writeStartObject();
        out.writeNumberField("quote", position.quote());
        out.writeNumberField("symbol", position.symbol());
        out.writeStringField("side", position.isShort() ? "short" : "long");
        out.writeStringField("party_b", position.partyB());
        out.writeStringField("quantity", position.amount().toString());
        out.writeStringField("opened_price", position.openedPrice().toString());
        out.writeStringField("mark", used.mark().mark());
        out.writeStringField("mark_key", used.mark().key());
        out.writeNumberField("mark_offset", used.mark().offset());
        out.writeStringField("upnl", upnl.toString());
        out.writeStringField("notional", notional.toString());
        out.writeBooleanField("stale", false);
        out.writeEndObject();
    }

    private static void distance(JsonGenerator out, BigInteger available, BigInteger notional) throws IOException {
        if (notional.signum() == 0) {
            out.writeNullField("distance_bps");
            return;
        }
        BigInteger[] parts = available.multiply(BPS).divideAndRemainder(notional);
        BigInteger floored = parts[1].signum() < 0 ? parts[0].subtract(BigInteger.ONE) : parts[0];
        out.writeNumberField("distance_bps", floored.min(MOST).max(MOST.negate()).longValueExact());
    }

    private static void raw(JsonGenerator out, String name, String json) throws IOException {
        out.writeFieldName(name);
        out.writeRawValue(json);
    }

    private static BigInteger number(JsonNode text) {
        return new BigInteger(text.asText());
    }
}
