import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Exact valuations by Kafka Streams, as a user of it would write them: ticks are multicast to all partitions, each of
 * which values the holders of the market that moved, and puts their rows into a RocksDB with a changelog.
 *
 * <p>The job is JSON in the only argument: bootstrap, application, directory, accounts, ticks, multicast (topics),
 * cache_bytes, commit_ms, settings. It runs until it is killed.
 */
public final class Valuations {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectReader TICK = JSON.readerFor(Tick.class);
    private static final ObjectReader MARK = JSON.readerFor(ValuedAccount.Mark.class);
    private static final ObjectWriter MARK_WRITER = JSON.writerFor(ValuedAccount.Mark.class);
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();
    private static final int DECODED_KEPT = 2_000;

    @JsonIgnoreProperties(ignoreUnknown = true)
    public record Tick(String source, String symbol, String mark, long event_ms) {}

    private Valuations() {}

    public static void main(String[] arguments) throws Exception {
        JsonNode job = JSON.readTree(arguments[0]);
        new KafkaStreams(topology(job), properties(job)).start();
        Thread.currentThread().join();
    }

    private static Topology topology(JsonNode job) {
        var deserializer = new ByteArrayDeserializer();
        var serializer = new ByteArraySerializer();
        String accounts = job.get("accounts").asText();
        String settings = job.get("settings").asText();
        long cacheBytes = job.get("cache_bytes").asLong();
        return new Topology()
            .addSource("ticks", deserializer, deserializer, job.get("ticks").asText())
            .addProcessor("fan", Fan::new, "ticks")
            .addSink("to all", job.get("multicast").asText(), serializer, serializer, new ToAll(), "fan")
            .addSource("marks of all", deserializer, deserializer, job.get("multicast").asText())
            .addSource("accounts of all", deserializer, deserializer, accounts)
            .addProcessor("valuer", () -> new Valuer(accounts, settings), "marks of all", "accounts of all")
            .addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("marks"), BYTES, BYTES), "valuer")
            .addStateStore(stored("accounts", 0), "valuer")
            .addStateStore(stored("valuations", cacheBytes), "valuer");
    }

    private static StoreBuilder<KeyValueStore<byte[], byte[]>> stored(String name, long cacheBytes) {
        var builder = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), BYTES, BYTES);
        return cacheBytes > 0 ? builder.withCachingEnabled() : builder.withCachingDisabled();
    }

    private static Properties properties(JsonNode job) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("application").asText());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap").asText());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, job.get("directory").asText());
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, job.get("cache_bytes").asLong());
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, job.get("commit_ms").asLong());
        properties.put("auto.offset.reset", "earliest");
        // Its own default of 100 ms would be most of the delay; and rows are compressed as Tidemark's are.
        properties.put(StreamsConfig.producerPrefix("linger.ms"), 5);
        properties.put(StreamsConfig.producerPrefix("compression.type"), "snappy");
        return properties;
    }

    private static <T> T read(ObjectReader reader, byte[] value) {
        try {
            return reader.readValue(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Every partition gets the mark. */
    private static final class ToAll implements StreamPartitioner<byte[], byte[]> {
        @Override
        public Optional<Set<Integer>> partitions(String topic, byte[] key, byte[] value, int partitions) {
            return Optional.of(IntStream.range(0, partitions).boxed().collect(Collectors.toSet()));
        }
    }

    /** Reads a tick's price exactly. */
    private static final class Fan extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
        @Override
        public void process(Record<byte[], byte[]> record) {
            Tick tick = read(TICK, record.value());
            BigInteger price = new BigDecimal(tick.mark()).movePointRight(18).toBigIntegerExact();
            String key = tick.source() + ':' + tick.symbol();
            long offset = context().recordMetadata().orElseThrow().offset();
            // The benchmark's markets are called S1USDT and so on.
            int symbol = Integer.parseInt(tick.symbol().substring(1, tick.symbol().length() - 4));
            try {
                byte[] mark = MARK_WRITER.writeValueAsBytes(
                    new ValuedAccount.Mark(symbol, key, price.toString(), tick.event_ms(), offset));
                context().forward(record.withValue(mark));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    /** Values the holders of what moved, and accounts that are new. */
    private static final class Valuer extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
        private final String accountsTopic;
        private final String settings;
        private final Map<Integer, ValuedAccount.Used> marks = new HashMap<>();
        private final Map<Integer, Set<String>> holders = new HashMap<>();
        private final Map<String, ValuedAccount> decoded = new LinkedHashMap<>(16, 0.75f, true) {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, ValuedAccount> eldest) {
                return size() > DECODED_KEPT;
            }
        };
        private KeyValueStore<byte[], byte[]> markRows;
        private KeyValueStore<byte[], byte[]> accountRows;
        private KeyValueStore<byte[], byte[]> valuations;

        private Valuer(String accountsTopic, String settings) {
            this.accountsTopic = accountsTopic;
            this.settings = settings;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            super.init(context);
            markRows = context.getStateStore("marks");
            accountRows = context.getStateStore("accounts");
            valuations = context.getStateStore("valuations");
            try (var rows = markRows.all()) {
                rows.forEachRemaining(row -> take(read(MARK, row.value)));
            }
            try (var rows = accountRows.all()) {
                rows.forEachRemaining(row -> index(text(row.key), ValuedAccount.decode(row.value)));
            }
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (context().recordMetadata().orElseThrow().topic().equals(accountsTopic)) {
                accountRows.put(record.key(), record.value());
                String key = text(record.key());
                ValuedAccount account = ValuedAccount.decode(record.value());
                decoded.put(key, account);
                index(key, account);
                value(key);
                return;
            }
            ValuedAccount.Mark mark = read(MARK, record.value());
            ValuedAccount.Used standing = marks.get(mark.symbol());
            if (standing != null && mark.event_ms() <= standing.mark().event_ms()) {
                return;
            }
            markRows.put(record.key(), record.value());
            take(mark);
            for (String key : holders.getOrDefault(mark.symbol(), Set.of())) {
                value(key);
            }
        }

        private void take(ValuedAccount.Mark mark) {
            marks.put(mark.symbol(), new ValuedAccount.Used(mark, new BigInteger(mark.mark())));
        }

        private void index(String key, ValuedAccount account) {
            for (int symbol : account.symbols()) {
                holders.computeIfAbsent(symbol, each -> new HashSet<>()).add(key);
            }
        }

        private void value(String key) {
            byte[] keyBytes = key.getBytes(StandardCharsets.UTF_8);
            ValuedAccount account = decoded.get(key);
            if (account == null) {
                account = ValuedAccount.decode(accountRows.get(keyBytes));
                decoded.put(key, account);
            }
            byte[] row = account.row(marks, settings, System.currentTimeMillis());
            if (row != null) {
                valuations.put(keyBytes, row);
            }
        }

        private static String text(byte[] key) {
            return new String(key, StandardCharsets.UTF_8);
        }
    }
}
