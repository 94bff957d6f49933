//! Dashboards and alert rules against a real Prometheus that scrapes real gateways.

mod dashboards;
mod live;
mod rules;
mod scene;
mod traffic;
