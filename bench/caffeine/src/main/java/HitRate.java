import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;

/**
 * Prints Caffeine's hit rate in percent for each capacity, over keys read as big-endian 32-bit numbers from standard
 * input: get, and put on a miss, from a cold start. Maintenance runs in the calling thread, so that a run repeats.
 */
public final class HitRate {
  private HitRate() {}

  public static void main(String[] capacities) throws IOException {
    int[] keys = readKeys();
    for (String capacity : capacities) {
      Cache<Integer, Boolean> cache =
          Caffeine.newBuilder()
              .maximumSize(Long.parseLong(capacity))
              .initialCapacity(Integer.parseInt(capacity))
              .executor(Runnable::run)
              .build();
      System.out.println(capacity + " " + 100.0 * hits(cache, keys) / keys.length);
    }
  }

  private static long hits(Cache<Integer, Boolean> cache, int[] keys) {
    long hits = 0;
    for (int key : keys) {
      if (cache.getIfPresent(key) == null) {
        cache.put(key, Boolean.TRUE);
      } else {
        hits++;
      }
      cache.cleanUp();
    }
    return hits;
  }

  private static int[] readKeys() throws IOException {
    try (DataInputStream input = new DataInputStream(new BufferedInputStream(System.in))) {
      int[] keys = new int[input.readInt()];
      for (int index = 0; index < keys.length; index++) {
        keys[index] = input.readInt();
      }
      return keys;
    }
  }
}
