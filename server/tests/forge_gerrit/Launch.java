import com.google.gerrit.pgm.Daemon;
import com.google.gerrit.pgm.Init;
import com.google.gerrit.server.config.GerritServerConfig;
import com.google.inject.Key;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.eclipse.jgit.lib.Config;

/**
 * Starts a Gerrit on a free port of loopback, in a new folder under the one that is given, and prints its address. Ends
 * with its standard input, and takes the folder with it. The first account is `admin` with the password `secret`.
 */
public final class Launch {
  private static final long STOP_MS_MAX = 20_000;

  private static volatile Daemon daemon;

  public static void main(String[] arguments) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    Path site = Files.createTempDirectory(Path.of(arguments[0]), "site");
    Thread watch = new Thread(() -> endWithInput(site));
    watch.setDaemon(true);
    watch.start();
    Files.createDirectory(site.resolve("etc"));
    Files.write(site.resolve("etc/gerrit.config"), CONFIG);
    String folder = site.toString();
    run(new Init().main(new String[] {"-d", folder, "--batch", "--no-auto-start", "--skip-plugins"}));
    daemon =
        new Daemon(
            () -> {
              Key<Config> key = Key.get(Config.class, GerritServerConfig.class);
              Config config = daemon.getHttpdInjector().getInstance(key);
              answers.println(config.getString("gerrit", null, "canonicalWebUrl"));
            },
            site);
    run(daemon.main(new String[] {"-d", folder, "--headless", "--console-log", "--disable-sshd"}));
  }

  private static final List<String> CONFIG =
      List.of(
          "[gerrit]",
          "  basePath = git",
          "  canonicalWebUrl = http://127.0.0.1:0/",
          "[auth]",
          "  type = DEVELOPMENT_BECOME_ANY_ACCOUNT",
          "  gitBasicAuthPolicy = HTTP",
          "[httpd]",
          "  listenUrl = http://127.0.0.1:0/",
          "[index]",
          "  type = lucene",
          "[sendemail]",
          "  enable = false");

  private static void run(int status) {
    if (status != 0) {
      throw new IllegalStateException("Gerrit ended with status " + status);
    }
  }

  private static void endWithInput(Path site) {
    try {
      System.in.transferTo(OutputStream.nullOutputStream());
      // Its databases would go on writing.
      Thread stop = new Thread(() -> daemon.stop());
      if (daemon != null) {
        stop.start();
        stop.join(STOP_MS_MAX);
      }
      try (Stream<Path> paths = Files.walk(site)) {
        for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
          Files.deleteIfExists(path);
        }
      }
    } catch (IOException | InterruptedException | UncheckedIOException e) {
      System.err.println(e);
    }
    Runtime.getRuntime().halt(0);
  }
}
