//! A real Prometheus of the test, and promtool.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::port::ReservedPort;
use crate::process::Process;
use crate::wait::eventually;
use crate::{http, tools};

/// From the start until it answers, and for one run of promtool, on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Targets that are scraped as one job.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub targets: Vec<SocketAddr>,
    /// Label of every target, as Kubernetes service discovery sets it; none with a plain list of targets.
    pub namespace: Option<String>,
    /// Whether labels of the metrics count more than those of the target.
    pub honor_labels: bool,
}

/// A server that scrapes and evaluates every second; dropping it kills the process and removes its data.
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    http: Client,
    _port: ReservedPort,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts a server for these jobs and rule files, and waits until it answers.
    pub async fn start(jobs: &[Job], rules: &[PathBuf]) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot create the directory of a prometheus")?;
        let config = directory.path().join("prometheus.yml");
        std::fs::write(&config, configuration(jobs, rules)).context("cannot write prometheus.yml")?;
        let port = ReservedPort::take()?;
        let mut command = Command::new(tools::prometheus()?);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={}", port.address()));
        let prometheus = Self {
            process: Process::spawn("prometheus", &mut command)?,
            address: port.address(),
            http: http::client()?,
            _port: port,
            _directory: directory,
        };
        prometheus.wait_ready().await?;
        Ok(prometheus)
    }

    async fn wait_ready(&self) -> Result<()> {
        let ready = eventually("prometheus is ready", LIMIT, async || {
            if let Some(status) = self.process.exited()? {
                return Ok(Err(anyhow::anyhow!(
                    "prometheus ended at its start ({status}):\n{}",
                    self.process.stderr().tail()
                )));
            }
            let url = format!("http://{}/-/ready", self.address);
            let response = self.http.get(&url).send().await?;
            ensure!(response.status().is_success(), "{}", response.status());
            anyhow::Ok(Ok(()))
        });
        ready.await?
    }

    /// The samples of an instant query: objects with `metric` and `value`.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self.get("query", &[("query", expression)]).await?;
        match data["resultType"].as_str() {
            Some("vector") => Ok(data["result"].as_array().cloned().unwrap_or_default()),
            Some(other) => bail!("{expression} gives a {other} and no vector"),
            None => bail!("{expression}: no result type in {data}"),
        }
    }

    /// The label sets of the series that fit a selector.
    pub async fn series(&self, selector: &str) -> Result<Vec<Value>> {
        let data = self.get("series", &[("match[]", selector)]).await?;
        Ok(data.as_array().cloned().unwrap_or_default())
    }

    /// Every rule that was loaded, with its `health` and `lastError`.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let data = self.get("rules", &[]).await?;
        let groups = data["groups"].as_array().context("no groups of rules")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }

    async fn get(&self, method: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{method}", self.address))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let response = self.http.get(url).send().await.context("no answer")?;
        let body = response.text().await.context("cannot read the answer")?;
        let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))?;
        ensure!(answer["status"] == "success", "{parameters:?}: {body}");
        Ok(answer["data"].take())
    }
}

/// Runs promtool in `directory`; its output is in the error when it finds something.
pub async fn promtool(directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(tools::promtool()?);
    command.args(arguments).current_dir(directory);
    let process = Process::spawn("promtool", &mut command)?;
    let status = process.wait_exit(LIMIT).await?;
    let (out, err) = (process.stdout().all(), process.stderr().all());
    ensure!(
        status.success(),
        "promtool {arguments:?} ended with {status}:\n{}\n{}",
        out.join("\n"),
        err.join("\n")
    );
    Ok(())
}

fn configuration(jobs: &[Job], rules: &[PathBuf]) -> String {
    let mut text =
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n".to_owned();
    let rules: Vec<_> = rules.iter().map(|path| path.display().to_string()).collect();
    let _ = writeln!(text, "rule_files: {rules:?}\nscrape_configs:");
    for job in jobs {
        let targets: Vec<_> = job.targets.iter().map(SocketAddr::to_string).collect();
        let _ = write!(
            text,
            "  - job_name: {:?}\n    honor_labels: {}\n    static_configs:\n      - targets: {targets:?}\n",
            job.name, job.honor_labels
        );
        if let Some(namespace) = &job.namespace {
            let _ = writeln!(text, "        labels: {{ namespace: {namespace:?} }}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scrapes_itself_and_answers() {
        let config = configuration(
            &[Job {
                name: "x".to_owned(),
                targets: vec![SocketAddr::from(([127, 0, 0, 1], 1))],
                namespace: Some("n".to_owned()),
                honor_labels: false,
            }],
            &[],
        );
        assert!(config.contains("namespace: \"n\""), "{config}");
        let prometheus = Prometheus::start(&[], &[]).await.unwrap();
        let one = prometheus.query("vector(1)").await.unwrap();
        assert_eq!(one[0]["value"][1], "1");
        let error = prometheus.query("vector(").await.unwrap_err();
        assert!(error.to_string().contains("parse error"), "{error}");
    }
}
