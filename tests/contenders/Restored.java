import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Iterator;

/** What a peer says to the bench: when it holds everything, and then whether that is true. */
final class Restored {
    private Restored() {}

    /** Prints the time since the JVM began, then waits: the bench looks at this process before anything else is done. */
    static void tell() throws IOException {
        long began = ManagementFactory.getRuntimeMXBean().getStartTime();
        System.out.println("restored " + (System.currentTimeMillis() - began));
        while (System.in.read() >= 0) {
            // Closed when the bench has seen enough.
        }
    }

    /** Ends the process: with 0 when there are as many rows as the topic has keys. */
    static void end(Iterator<?> rows, long expected) {
        long count = 0;
        for (; rows.hasNext(); rows.next()) {
            count++;
        }
        if (count != expected) {
            System.err.println("holds " + count + " rows, the topic has " + expected + " keys");
        }
        // Neither peer is closed: what that takes is no part of a restore.
        Runtime.getRuntime().halt(count == expected ? 0 : 1);
    }
}
