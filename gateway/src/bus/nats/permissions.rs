//! What the users of NATS need to be permitted: every subject that gateways, and whoever sets the bus up for them, publish or
//! subscribe. The subjects come from where they are made ([`Subjects`], and the questions to `JetStream`), and the tests of
//! several gateways run with exactly these rights.
//!
//! NATS permits by subjects and cannot look into a question, so what may be asked may be asked with any body: whoever may
//! purge a room of a stream may purge the stream, and whoever may publish to rooms can fill them.

use super::{
    Subjects, advisories,
    jetstream::{ON_A_CLUSTER, STREAM_NAMES, Verb, messages_of, newest_of},
    requests,
};
use crate::history::HistoryPolicy;

/// One subject that a user may publish or subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub subject: String,
    /// Only as a member of this queue group.
    pub group: Option<&'static str>,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// What one user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRights {
    pub publish: Vec<Right>,
    pub subscribe: Vec<Right>,
    /// It may answer who asks it, wherever that one wants the answer, once.
    pub answers: bool,
}

/// What gateways are configured to do beside bridging rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    /// `bus.nats.manage_streams`
    pub manage_streams: bool,
    /// `api.nats`
    pub serve_api: bool,
}

/// What the two users of a cluster may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub gateway: UserRights,
    /// Whoever makes, changes and deletes streams.
    pub admin: UserRights,
    /// They hold whatever the cluster's namespaces are.
    pub any_namespaces: bool,
}

impl UserRights {
    fn publish(&mut self, subject: String, purpose: &'static str) {
        self.publish.push(Right::new(subject, purpose));
    }

    fn subscribe(&mut self, subject: String, purpose: &'static str) {
        self.subscribe.push(Right::new(subject, purpose));
    }

    fn both(&mut self, subject: &str, purpose: &'static str) {
        self.publish(subject.to_owned(), purpose);
        self.subscribe(subject.to_owned(), purpose);
    }
}

impl Right {
    fn new(subject: String, purpose: &'static str) -> Self {
        Self {
            subject,
            group: None,
            purpose,
        }
    }
}

impl Permissions {
    /// `durable`: the namespaces with history. Where the number of partitions follows from the NATS servers the greater one
    /// counts.
    pub fn new(prefix: &str, durable: &[HistoryPolicy], duties: Duties) -> Self {
        let subjects = Subjects::new(prefix);
        let mut gateway = of_every_gateway(&subjects);
        of_bucket(&subjects, duties, &mut gateway);
        for policy in durable {
            let partitions = policy.options.stream.partitions.unwrap_or(ON_A_CLUSTER);
            for partition in 0..partitions {
                let partition = Partition::new(&subjects, &policy.namespace, partition);
                partition.permit(
                    duties.manage_streams && policy.options.stream.managed,
                    &mut gateway,
                );
            }
        }
        Self::complete(&subjects, duties, gateway)
    }

    /// For a NATS that serves one cluster: whatever its namespaces are, so that a new one changes nothing there. Gateways do
    /// all their duties.
    pub fn of_any_namespaces(prefix: &str) -> Self {
        let subjects = Subjects::new(prefix);
        let duties = Duties {
            manage_streams: true,
            serve_api: true,
        };
        let mut gateway = of_every_gateway(&subjects);
        gateway.publish(subjects.kept(">"), "keeps revocations");
        Partition::any(&subjects).permit(true, &mut gateway);
        Self {
            any_namespaces: true,
            ..Self::complete(&subjects, duties, gateway)
        }
    }

    fn complete(subjects: &Subjects, duties: Duties, mut gateway: UserRights) -> Self {
        // A reload may bring the first durable namespace.
        for subject in advisories::subjects() {
            gateway.subscribe(subject, "notices a change of a stream at once");
        }
        if duties.serve_api {
            of_api(subjects, &mut gateway);
        }
        Self {
            gateway,
            admin: of_admin(subjects),
            any_namespaces: false,
        }
    }
}

/// Whatever a gateway is configured to do: words between gateways, and ephemeral rooms.
fn of_every_gateway(subjects: &Subjects) -> UserRights {
    let mut rights = UserRights::default();
    rights.both(&subjects.control_all(), "announcements, orders, questions");
    rights.both(
        &subjects.control_nodes(),
        "answers; members of rooms; the proof that a connection works",
    );
    rights.both(&subjects.echo(), "the join barrier");
    rights.both(&subjects.all_echoed(), "the join barrier's answers");
    rights.both(
        &format!("{}.>", subjects.inbox()),
        "answers of JetStream; the proof that all was sent before an exit",
    );
    let purpose = "publications of ephemeral rooms, words about their members";
    rights.both(&subjects.all_ephemeral(), purpose);
    rights
}

/// One stream, or all.
struct Partition {
    stream: String,
    /// Subjects of its rooms, to be stored.
    stored: String,
    /// Where they arrive.
    live: String,
}

impl Partition {
    fn new(subjects: &Subjects, namespace: &str, partition: u16) -> Self {
        Self {
            stream: subjects.stream(namespace, partition),
            stored: subjects.stored_rooms(namespace, partition),
            live: subjects.live_rooms(namespace, partition),
        }
    }

    /// NATS knows no patterns for parts of a name: every stream of the account.
    fn any(subjects: &Subjects) -> Self {
        Self {
            stream: "*".to_owned(),
            stored: subjects.all_stored_rooms(),
            live: subjects.all_live_rooms(),
        }
    }

    fn permit(self, manage: bool, rights: &mut UserRights) {
        let Self { stream, stored, live } = self;
        rights.publish(stored.clone(), "publications of durable rooms, to be stored");
        rights.publish(live.clone(), "words about members of durable rooms");
        rights.subscribe(live, "publications of durable rooms, once they are stored");
        rights.publish(Verb::Info.subject(&stream), "checks the stream");
        rights.publish(
            Verb::Message.subject(&stream),
            "reads a message from the stream's leader",
        );
        rights.publish(Verb::Purge.subject(&stream), "removes the history of a room");
        rights.publish(messages_of(&stream), "reads history");
        rights.publish(newest_of(&stream, &stored), "reads the newest message of a room");
        if manage {
            rights.publish(Verb::Create.subject(&stream), "makes the stream");
            rights.publish(Verb::Update.subject(&stream), "changes the stream");
        }
    }
}

fn of_bucket(subjects: &Subjects, duties: Duties, rights: &mut UserRights) {
    let stream = subjects.bucket_stream();
    rights.publish(subjects.kept(">"), "keeps revocations");
    rights.publish(Verb::Info.subject(&stream), "asks for new revocations");
    rights.publish(
        Verb::Message.subject(&stream),
        "reads a revocation from the leader",
    );
    rights.publish(messages_of(&stream), "reads many revocations");
    if duties.manage_streams {
        rights.publish(Verb::Create.subject(&stream), "makes the bucket of revocations");
        rights.publish(Verb::Update.subject(&stream), "gives the bucket more copies");
    }
}

fn of_api(subjects: &Subjects, rights: &mut UserRights) {
    for subject in [subjects.api(), subjects.api_methods()] {
        rights.subscribe.push(Right {
            group: Some(requests::GROUP),
            ..Right::new(subject, "calls of the server API")
        });
    }
    rights.answers = true;
}

/// Streams of namespaces that are no longer configured are deleted too, and NATS knows no patterns of names: so all streams of
/// the account.
fn of_admin(subjects: &Subjects) -> UserRights {
    let mut rights = UserRights::default();
    rights.publish(STREAM_NAMES.to_owned(), "finds streams to delete");
    for (verb, purpose) in [
        (Verb::Info, "checks streams"),
        (Verb::Create, "makes streams"),
        (Verb::Update, "changes streams"),
        (Verb::Delete, "deletes streams"),
    ] {
        rights.publish(verb.subject("*"), purpose);
    }
    rights.subscribe(format!("{}.>", subjects.admin_inbox()), "answers of JetStream");
    rights
}
