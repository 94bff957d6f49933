import io.github.centrifugal.centrifuge.Client;
import io.github.centrifugal.centrifuge.EventListener;
import io.github.centrifugal.centrifuge.HistoryOptions;
import io.github.centrifugal.centrifuge.HistoryResult;
import io.github.centrifugal.centrifuge.Options;
import io.github.centrifugal.centrifuge.PresenceResult;
import io.github.centrifugal.centrifuge.PublicationEvent;
import io.github.centrifugal.centrifuge.SubscribedEvent;
import io.github.centrifugal.centrifuge.Subscription;
import io.github.centrifugal.centrifuge.SubscriptionEventListener;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * The official Java client, which speaks Protobuf, in a room that is cut and comes back.
 *
 * <p>What it reads and prints is that of tests/sdk/transports.mjs.
 */
public final class ThroughACut {
    private static final String ROOM = "kept:everyone";
    private static final long LIMIT_MS = 20_000;

    private static final BufferedReader WORDS =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    public static void main(String[] arguments) {
        try {
            converse();
            print("summary");
            System.exit(0);
        } catch (Exception failure) {
            failure.printStackTrace();
            print("failed");
            System.exit(1);
        }
    }

    private static void converse() throws Exception {
        String host = System.getenv("NATTER_HOST");
        List<Member> members = List.of(new Member("first", host), new Member("second", host));
        for (Member member : members) {
            await(member::isJoined, member.name + " is in the room");
        }
        Client writer = client(System.getenv("NATTER_WRITER"));
        List<String> said = new ArrayList<>();
        for (Member member : members) {
            String message = "{\"from\":\"" + member.name + "\",\"text\":\"zwölf 🦊\"}";
            said.add(message);
            Member.<Object>answer(done -> member.subscription.publish(bytes(message), done::complete));
        }
        say(writer, said, "number", 20);
        hear(members, said);
        print("joined");

        word("cut");
        say(writer, said, "missed", 10);
        print("missed");
        word("back");
        hear(members, said);
        for (Member member : members) {
            check(member.recovered() > 0, member.name + " did not recover");
            readHistory(member, said);
            PresenceResult present = Member.answer(done -> member.subscription.presence(done::complete));
            check(present.getClients().size() == members.size(), present.getClients().size() + " are there");
        }
    }

    private static void say(Client writer, List<String> said, String kind, int count) throws Exception {
        for (int number = 0; number < count; number++) {
            String message = "{\"" + kind + "\":" + number + "}";
            said.add(message);
            Member.<Object>answer(done -> writer.publish(ROOM, bytes(message), done::complete));
        }
    }

    private static void hear(List<Member> members, List<String> said) throws Exception {
        for (Member member : members) {
            await(() -> member.heard().size() >= said.size(), member.name + " has heard everything");
            check(member.heard().equals(said), member.name + " heard " + member.heard());
        }
    }

    private static void readHistory(Member member, List<String> said) throws Exception {
        HistoryOptions options = new HistoryOptions.Builder().withLimit(100).build();
        HistoryResult history = Member.answer(done -> member.subscription.history(options, done::complete));
        List<String> kept = new ArrayList<>();
        history.getPublications().forEach(publication -> kept.add(text(publication.getData())));
        check(kept.equals(said), member.name + " reads " + kept);
        check(history.getOffset() == said.size(), member.name + " is at " + history.getOffset());
    }

    private static Client client(String host) {
        Options options = new Options();
        options.setMinReconnectDelay(50);
        options.setMaxReconnectDelay(200);
        Client client = new Client("ws://" + host + "/connection/websocket", options, new EventListener() {});
        client.connect();
        return client;
    }

    private static void await(BooleanSupplier condition, String what) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LIMIT_MS);
        synchronized (ThroughACut.class) {
            while (!condition.getAsBoolean()) {
                long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
                check(left > 0, "not within " + LIMIT_MS + " ms: " + what);
                ThroughACut.class.wait(left);
            }
        }
    }

    private static void word(String expected) throws Exception {
        String word = WORDS.readLine();
        check(expected.equals(word), "expected " + expected + " on stdin, got " + word);
    }

    private static void print(String event) {
        System.out.println("{\"event\":\"" + event + "\"}");
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** A client in the room; what it remembers is guarded by the lock that {@link #await} waits on. */
    private static final class Member extends SubscriptionEventListener {
        private final String name;
        private final Subscription subscription;
        private final List<String> heard = new ArrayList<>();
        private boolean joined;
        private int recovered;

        Member(String name, String host) throws Exception {
            this.name = name;
            subscription = client(host).newSubscription(ROOM, this);
            subscription.subscribe();
        }

        /** What a call answers, or its error as the cause of the exception. */
        static <T> T answer(Consumer<Answer<T>> call) throws Exception {
            Answer<T> answer = new Answer<>();
            call.accept(answer);
            return answer.future.get(LIMIT_MS, TimeUnit.MILLISECONDS);
        }

        @Override
        public void onSubscribed(Subscription of, SubscribedEvent event) {
            synchronized (ThroughACut.class) {
                joined = true;
                if (event.wasRecovering() && event.getRecovered()) {
                    recovered++;
                }
                ThroughACut.class.notifyAll();
            }
        }

        @Override
        public void onPublication(Subscription of, PublicationEvent event) {
            synchronized (ThroughACut.class) {
                heard.add(text(event.getData()));
                ThroughACut.class.notifyAll();
            }
        }

        boolean isJoined() {
            return joined;
        }

        List<String> heard() {
            synchronized (ThroughACut.class) {
                return List.copyOf(heard);
            }
        }

        int recovered() {
            synchronized (ThroughACut.class) {
                return recovered;
            }
        }
    }

    /** The one answer of a call with a callback. */
    private static final class Answer<T> {
        private final CompletableFuture<T> future = new CompletableFuture<>();

        void complete(Throwable error, T result) {
            if (error == null) {
                future.complete(result);
            } else {
                future.completeExceptionally(error);
            }
        }
    }
}
