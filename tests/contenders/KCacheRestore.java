import io.kcache.KafkaCache;
import io.kcache.KafkaCacheConfig;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;

/** KCache over RocksDB, from an empty directory to the end of its init(), which reads to the topic's end. */
final class KCacheRestore {
    private KCacheRestore() {}

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String topic = args[1];
        long keys = Long.parseLong(args[2]);
        String directory = args[3];

        var settings = new Properties();
        settings.put(KafkaCacheConfig.KAFKACACHE_BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(KafkaCacheConfig.KAFKACACHE_TOPIC_CONFIG, topic);
        settings.put(KafkaCacheConfig.KAFKACACHE_BACKING_CACHE_CONFIG, "rocksdb");
        settings.put(KafkaCacheConfig.KAFKACACHE_DATA_DIR_CONFIG, directory);
        settings.put(KafkaCacheConfig.KAFKACACHE_CHECKPOINT_DIR_CONFIG, directory);
        // It is slow on a busy machine, and must end in its own time.
        settings.put(KafkaCacheConfig.KAFKACACHE_INIT_TIMEOUT_CONFIG, "300000");
        // It passes these on to its consumer. It writes row by row, so they change little.
        settings.put("kafkacache." + ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "20000");
        settings.put("kafkacache." + ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, "16777216");
        var cache = new KafkaCache<Bytes, byte[]>(new KafkaCacheConfig(settings), Serdes.Bytes(), Serdes.ByteArray());
        cache.init();
        Restored.tell();
        Restored.end(cache.all(), keys);
    }
}
