import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Materialized.StoreType;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Kafka Streams with one stream thread and its defaults: a cache of 10 MB before the store and its changelog, a commit
 * each 30 s, at least once. The job is JSON in the only argument, as bench/peers/job.py says; the figures are one line.
 */
public final class Peer {
    @JsonIgnoreProperties(ignoreUnknown = true)
    public record Tick(String symbol, String mark, long event_ms) {}

    public record Event(String account, String symbol, long quantity, long price) {}

    public record Price(String mark, long event_ms) {}

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();

    private final JsonNode job;
    private final String workload;
    private final long count;
    private final long warmUp;
    private final CountDownLatch allDone = new CountDownLatch(1);
    private long seen;
    private long beganNs;
    private long beganCpuNs;
    private double commitsBefore;
    private KafkaStreams streams;

    private Peer(JsonNode job) {
        this.job = job;
        workload = job.get("workload").asText();
        count = job.get("count").asLong();
        warmUp = job.get("warm_up").asLong();
    }

    public static void main(String[] arguments) throws Exception {
        new Peer(JSON.readTree(arguments[0])).run();
    }

    private void run() throws Exception {
        streams = new KafkaStreams(topology().build(), properties());
        streams.setGlobalStateRestoreListener(new Restoring());
        streams.start();
        allDone.await();
        // The thread commits once it sees the request: changelog flushed, offsets committed.
        boolean writes = workload.equals("table") || workload.equals("accounts");
        while (writes && commits() <= commitsBefore) {
            Thread.sleep(1);
        }
        print();
        Runtime.getRuntime().halt(0);
    }

    private StreamsBuilder topology() {
        StreamsBuilder builder = new StreamsBuilder();
        String topic = job.get("topic").asText();
        switch (workload) {
            case "decode" -> builder.stream(topic, Consumed.with(BYTES, serde(Tick.class)))
                .processValues(Counting<Tick>::new);
            case "table" -> builder.stream(topic, Consumed.with(BYTES, serde(Tick.class)))
                .processValues(Counting<Tick>::new)
                .groupByKey(Grouped.with(BYTES, serde(Tick.class)))
                .aggregate(() -> null, (key, tick, row) -> newest(tick, row), stored(serde(Price.class)));
            case "accounts" -> builder.stream(topic, Consumed.with(BYTES, serde(Event.class)))
                .processValues(Counting<Event>::new)
                .groupByKey(Grouped.with(BYTES, serde(Event.class)))
                .aggregate(HashMap::new, (key, event, row) -> sum(event, row), stored(holdings()));
            case "recovery" -> builder.table(topic, Consumed.with(BYTES, BYTES), stored(BYTES));
            default -> throw new IllegalArgumentException("expected a workload, found " + workload);
        }
        return builder;
    }

    private <V> Materialized<byte[], V, KeyValueStore<Bytes, byte[]>> stored(Serde<V> values) {
        var type = job.get("store").asText().equals("memory") ? StoreType.IN_MEMORY : StoreType.ROCKS_DB;
        return Materialized.<byte[], V, KeyValueStore<Bytes, byte[]>>as("rows")
            .withKeySerde(BYTES).withValueSerde(values).withStoreType(type);
    }

    private Properties properties() {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("group").asText());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap").asText());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, job.get("directory").asText());
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        properties.put("auto.offset.reset", "earliest");
        return properties;
    }

    private static Price newest(Tick tick, Price row) {
        return row != null && tick.event_ms() <= row.event_ms() ? row : new Price(tick.mark(), tick.event_ms());
    }

    private static Map<String, long[]> sum(Event event, Map<String, long[]> row) {
        long[] sums = row.computeIfAbsent(event.symbol(), symbol -> new long[2]);
        sums[0] += event.quantity();
        sums[1] += event.quantity() * event.price();
        return row;
    }

    private static <T> Serde<T> serde(Class<T> type) {
        return serde(JSON.readerFor(type));
    }

    private static Serde<Map<String, long[]>> holdings() {
        return serde(JSON.readerFor(new TypeReference<HashMap<String, long[]>>() {}));
    }

    private static <T> Serde<T> serde(ObjectReader reader) {
        Deserializer<T> deserializer = (topic, bytes) -> {
            try {
                return bytes == null ? null : reader.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom((topic, value) -> {
            try {
                return value == null ? null : JSON.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }, deserializer);
    }

    private void begin() {
        beganNs = System.nanoTime();
        beganCpuNs = cpuNs();
    }

    private void print() {
        double seconds = (System.nanoTime() - beganNs) / 1e9;
        double cpuSeconds = (cpuNs() - beganCpuNs) / 1e9;
        String changelog = workload.equals("decode") ? "null" : '"' + job.get("group").asText() + "-rows-changelog\"";
        System.out.printf("{\"events\": %d, \"seconds\": %f, \"cpu_seconds\": %f, \"changelog\": %s}%n",
            count, seconds, cpuSeconds, changelog);
    }

    private static long cpuNs() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private double commits() {
        return streams.metrics().entrySet().stream()
            .filter(each -> each.getKey().name().equals("commit-total")
                && each.getKey().group().equals("stream-thread-metrics"))
            .mapToDouble(each -> (double) each.getValue().metricValue())
            .sum();
    }

    /** Begins the clock with the first event after the warm-up; after the last one asks for a commit. */
    private final class Counting<V> extends ContextualFixedKeyProcessor<byte[], V, V> {
        @Override
        public void process(FixedKeyRecord<byte[], V> record) {
            if (seen == warmUp) {
                begin();
            }
            context().forward(record);
            seen++;
            if (seen == warmUp + count) {
                commitsBefore = commits();
                context().commit();
                allDone.countDown();
            }
        }
    }

    /** In a recovery the clock runs from the first partition's beginning to the last one's end. */
    private final class Restoring implements StateRestoreListener {
        private int restoring;

        @Override
        public synchronized void onRestoreStart(TopicPartition partition, String store, long start, long end) {
            if (workload.equals("recovery") && beganNs == 0) {
                begin();
            }
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long restored) {}

        @Override
        public synchronized void onRestoreEnd(TopicPartition partition, String store, long total) {
            seen += total;
            if (workload.equals("recovery") && seen == count) {
                allDone.countDown();
            }
        }
    }
}
