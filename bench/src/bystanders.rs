//! Members of rooms that a scenario has nothing to do with, who show what it does to others.
//!
//! They live in a second process of this program: the thread that floods a server, or opens thousands of connections, would
//! read their messages too late, and that would count as latency of the server. The process measures like
//! any other load ([`Load`]), so it also says how late it was itself. It is told what to do by lines on its standard input, the
//! first of which is a `Task`, and answers each by a line on its standard output. It ends with its input.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::timeout,
};

use crate::{
    load::{self, Load, Measured},
    publisher::By,
    report::Table,
    run::Run,
    server::{Address, Server},
};

/// The subcommand of the process.
const COMMAND: &str = "bystanders";
/// For opening the connections, or for the last messages of a measurement.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a message.
const SIZE: usize = 200;

#[derive(Clone, Debug, clap::Args)]
#[group(id = "bystanders_args")]
#[command(next_help_heading = "Bystanders")]
pub struct Args {
    /// Other rooms, whose members and messages are those of a second process
    #[arg(long, default_value_t = 100)]
    other_rooms: usize,
    /// Members of each other room
    #[arg(long, default_value_t = 10)]
    other_members: usize,
    /// Messages a second, over all other rooms together
    #[arg(long, default_value_t = 200.0)]
    other_rate: f64,
}

/// What the process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    server: Address,
    rooms: usize,
    members: usize,
    rate: f64,
}

/// What the bystanders saw.
#[derive(Debug, Serialize)]
pub struct Phases {
    pub before: Measured,
    pub during: Measured,
    pub after: Measured,
}

/// Dropping it ends the process.
pub struct Bystanders {
    process: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
}

impl Bystanders {
    /// Starts the process, and waits until everybody is in a room.
    pub async fn start(server: &Server, args: &Args) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the process of the bystanders")?;
        let (orders, answers) = (process.stdin.take(), process.stdout.take());
        let mut bystanders = Self {
            process,
            orders: orders.context("the bystanders have no input")?,
            answers: lines(answers.context("the bystanders have no output")?),
        };
        let task = Task {
            server: server.to_address(),
            rooms: args.other_rooms,
            members: args.other_members,
            rate: args.other_rate,
        };
        bystanders.tell(&serde_json::to_string(&task)?)?;
        bystanders.answer().await?;
        Ok(bystanders)
    }

    /// Messages go to the other rooms until [`Bystanders::end`].
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.tell("begin")
    }

    pub async fn end(&mut self) -> anyhow::Result<Measured> {
        self.tell("end")?;
        let answer = self.answer().await?;
        serde_json::from_str(&answer).with_context(|| format!("the bystanders answered {answer:?}"))
    }

    pub async fn measure(&mut self, duration: Duration) -> anyhow::Result<Measured> {
        self.begin()?;
        // Nothing is said before it is asked for.
        let early = timeout(duration, self.answers.recv()).await;
        ensure!(early.is_err(), "the process of the bystanders ended");
        self.end().await
    }

    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.orders, "{line}").context("the process of the bystanders ended")
    }

    async fn answer(&mut self) -> anyhow::Result<String> {
        let answer = timeout(PATIENCE, self.answers.recv()).await;
        // It has said why on the standard error that it shares.
        answer
            .context("the process of the bystanders does not answer")?
            .context("the process of the bystanders ended")
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Phases {
    /// Every message came once and in order at every bystander, all the time.
    pub fn is_correct(&self) -> bool {
        self.all().iter().all(|(_, phase)| phase.is_correct())
    }

    fn all(&self) -> [(&'static str, &Measured); 3] {
        [
            ("others before", &self.before),
            ("others during", &self.during),
            ("others after", &self.after),
        ]
    }

    /// What is left of the cores that others used meanwhile, of whom the process of the bystanders was one.
    pub fn apart_from_bystanders(&self, others_cores: f64) -> f64 {
        (others_cores - self.during.client.client_share).max(0.0)
    }

    pub fn rows(&self, table: &mut Table) {
        for (name, phase) in self.all() {
            let latency = &phase.latency;
            let text = format!(
                "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; sent too late by p99 {:.1} ms, {:.0} % waiting for a core",
                latency.p50,
                latency.p99,
                latency.max,
                phase.send_delay.p99,
                100.0 * phase.client.client_waiting_share
            );
            table.row(name, text);
        }
        let wrong = self.all().into_iter().find(|(_, phase)| !phase.is_correct());
        table.row(
            "others, check",
            wrong.map_or_else(
                || "every message once and in order".to_owned(),
                |(name, phase)| format!("{name}: {}", phase.faults()),
            ),
        );
    }

    /// Says on stderr what makes the figures doubtful.
    pub fn warn(&self) {
        if self.all().iter().any(|(_, phase)| phase.client.client_is_limit) {
            eprintln!("warning: the process of the bystanders was the limit, not the server");
        }
    }
}

/// What the process does.
pub async fn serve() -> anyhow::Result<()> {
    let mut orders = lines(io::stdin());
    let task = orders.recv().await.context("nobody says what to do")?;
    let task: Task = serde_json::from_str(&task).context("this is no task")?;
    let run = Run::on(Server::at(task.server)?)?;
    let load = load::Args {
        members: task.members,
        rooms: task.rooms,
        size: SIZE,
        by: By::Socket,
        publishers: 4,
        warmup: 0,
    };
    let mut load = Load::on(&run, load).await?;
    say("ready")?;
    while orders.recv().await.is_some() {
        // A measurement has at least one message.
        let goes_on = |published| published == 0 || matches!(orders.try_recv(), Err(TryRecvError::Empty));
        let measured = load.measure_while(task.rate, goes_on).await?;
        say(&serde_json::to_string(&measured)?)?;
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("nobody listens any more")
}

/// Reads lines to the end on a thread of its own. The queue has no bound: who writes waits for answers.
fn lines(input: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (tell, lines) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
