import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/** A GlobalKTable of Kafka Streams in its default RocksDB store, from an empty directory to RUNNING. */
final class GlobalTable {
    private static final String STORE = "rows";

    private GlobalTable() {}

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String topic = args[1];
        long keys = Long.parseLong(args[2]);
        String directory = args[3];

        var builder = new StreamsBuilder();
        builder.globalTable(
                topic,
                Consumed.with(Serdes.Bytes(), Serdes.ByteArray()),
                Materialized.<Bytes, byte[], KeyValueStore<Bytes, byte[]>>as(STORE));
        var running = new CountDownLatch(1);
        var streams = new KafkaStreams(builder.build(), settings(bootstrap, directory));
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                running.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(2);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        running.await();
        Restored.tell();
        var store = streams.store(
                StoreQueryParameters.fromNameAndType(STORE, QueryableStoreTypes.<Bytes, byte[]>keyValueStore()));
        Restored.end(store.all(), keys);
    }

    private static Properties settings(String bootstrap, String directory) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "outrigger-bench");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        // A store takes what one poll returned as one batch of RocksDB. The defaults, 1,000 records and 1 MiB of a
        // partition, make many small ones: with these a restore takes a tenth less.
        settings.put(global(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "20000");
        settings.put(global(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), "16777216");
        // TCP's window is the system's to choose.
        settings.put(global(ConsumerConfig.RECEIVE_BUFFER_CONFIG), "-1");
        return settings;
    }

    private static String global(String setting) {
        return StreamsConfig.globalConsumerPrefix(setting);
    }
}
