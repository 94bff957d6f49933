//! The command line. Every flag can also be a variable.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::telemetry::LogFormat;

/// Kubernetes operator that turns a `ChatCluster` into running chat gateways
#[derive(Parser)]
#[command(name = "natter-operator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Reconcile until SIGTERM
    Run(Box<RunArgs>),
    /// Print the custom resource definition in YAML
    Crd,
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The only namespace to look at; without it, all
    #[arg(long, env = "NATTER_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespace of the Lease by which one of several operators leads
    #[arg(long, env = "NATTER_OPERATOR_LEASE_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,
    /// Name of this operator among several; without it, its host and process
    #[arg(long, env = "NATTER_OPERATOR_IDENTITY")]
    pub identity: Option<String>,
    /// Image of gateways whose spec names none
    #[arg(
        long,
        env = "NATTER_OPERATOR_GATEWAY_IMAGE",
        default_value = concat!("ghcr.io/natter-chat/natter-gateway:", env!("CARGO_PKG_VERSION"))
    )]
    pub gateway_image: String,
    /// Version under which it reports itself; an image may be released under another one than its sources
    #[arg(long, env = "NATTER_OPERATOR_RELEASE", default_value = env!("CARGO_PKG_VERSION"))]
    pub release: String,
    /// Address of `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "NATTER_OPERATOR_OPS_LISTEN", default_value = "0.0.0.0:9000")]
    pub ops_listen: SocketAddr,
    /// Lowest level, or a filter such as `info,natter_operator=debug`
    #[arg(long, env = "NATTER_OPERATOR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Form of a log line
    #[arg(long, env = "NATTER_OPERATOR_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// OTLP/HTTP collector that receives traces of reconciles
    #[arg(long, env = "NATTER_OPERATOR_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Time after which streams that shall be deleted with their cluster are given up; tests shorten it
    #[arg(long, hide = true, value_parser = humantime::parse_duration, default_value = "5m")]
    pub stream_deletion_limit: Duration,
}
