//! Dashboards and alert rules against a real Prometheus that scrapes real gateways and a real operator.

mod dashboards;
mod live;
mod operator;
mod rules;
mod scene;
mod traffic;
