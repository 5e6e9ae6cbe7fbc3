import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes what changes in a table of PostgreSQL to a topic: the key is that of the row, the value the row as JSON, and a
 * row that is deleted is a record without a value. It begins with all rows, and then goes on where it was.
 */
final class Capture {
    private Capture() {}

    /** Arguments: bootstrap servers, topic, port of PostgreSQL on this machine, database, table, file for the offsets. */
    public static void main(String[] args) throws Exception {
        if (args.length != 6) {
            System.err.println("usage: Capture BOOTSTRAP TOPIC PORT DATABASE SCHEMA.TABLE OFFSETS");
            System.exit(64);
        }
        try (var producer = new KafkaProducer<String, String>(producer(args[0]))) {
            var failed = new Throwable[1];
            var engine = DebeziumEngine.create(Json.class)
                    .using(engine(args[2], args[3], args[4], args[5]))
                    .using((success, message, error) -> {
                        if (!success) {
                            failed[0] = error == null ? new IllegalStateException(message) : error;
                        }
                    })
                    .notifying((events, committer) -> write(producer, args[1], events, committer))
                    .build();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> close(engine)));
            engine.run();
            if (failed[0] != null) {
                throw new IllegalStateException("the capture ended", failed[0]);
            }
        }
    }

    /**
     * Writes a batch, and only then says that it is done with it. Killed in between it writes the batch again, which
     * changes nothing: the last record of each key is the same.
     */
    private static void write(
            Producer<String, String> producer,
            String topic,
            List<ChangeEvent<String, String>> events,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer)
            throws InterruptedException {
        var sent = new ArrayList<Future<RecordMetadata>>(events.size());
        for (var event : events) {
            // A row that is gone comes without a value or as the null of JSON, which is a value to everybody else.
            var row = "null".equals(event.value()) ? null : event.value();
            sent.add(producer.send(new ProducerRecord<>(topic, event.key(), row)));
        }
        producer.flush();
        for (int index = 0; index < events.size(); index++) {
            try {
                sent.get(index).get();
            } catch (ExecutionException error) {
                throw new IllegalStateException("Kafka did not take a row", error.getCause());
            }
            committer.markProcessed(events.get(index));
        }
        committer.markBatchFinished();
    }

    private static Properties producer(String bootstrap) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        // The order of a row's changes and one record for each: both are the defaults, and all depends on them.
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        return settings;
    }

    private static Properties engine(String port, String database, String table, String offsets) {
        var settings = new Properties();
        settings.put("name", "outrigger-cdc");
        settings.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        settings.put("topic.prefix", "outrigger");
        settings.put("database.hostname", "127.0.0.1");
        settings.put("database.port", port);
        settings.put("database.user", "postgres");
        settings.put("database.password", "");
        settings.put("database.dbname", database);
        settings.put("table.include.list", table);
        settings.put("plugin.name", "pgoutput");
        settings.put("publication.autocreate.mode", "filtered");
        settings.put("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
        settings.put("offset.storage.file.filename", offsets);
        settings.put("offset.flush.interval.ms", "1000");
        // The row alone, and nothing for a row that is gone.
        settings.put("transforms", "row,key");
        settings.put("transforms.row.type", "io.debezium.transforms.ExtractNewRecordState");
        settings.put("transforms.row.delete.tombstone.handling.mode", "tombstone");
        settings.put("transforms.key.type", "org.apache.kafka.connect.transforms.ExtractField$Key");
        settings.put("transforms.key.field", "id");
        settings.put("converter.schemas.enable", "false");
        return settings;
    }

    private static void close(DebeziumEngine<?> engine) {
        try {
            engine.close();
        } catch (Exception error) {
            System.err.println("the engine did not close: " + error);
        }
    }
}
