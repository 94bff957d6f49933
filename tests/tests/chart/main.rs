//! The chart as helm renders it, over a matrix of values. Whether Kubernetes takes the manifests is for the suites that have one.

mod examples;
mod helm;
mod matrix;
mod refused;
mod toggles;
