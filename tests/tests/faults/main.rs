//! Durable rooms under faults: servers, gateways and connections die, and every reader holds exactly what was
//! acknowledged, each message once, in one order.
//!
//! | variable | default | |
//! |---|---|---|
//! | `NATTER_FAULTS_SECONDS` | 0 | least time of the run, which ends after 30 faults and 20,000 messages otherwise |
//! | `NATTER_FAULTS_SEED` | random | printed; the same seed makes the same choices |
//! | `NATTER_FAULTS_OUTAGE_SECONDS` | 90 | how long NATS is away in the test of the retry |

mod ahead;
mod chaos;
mod door;
mod ledger;
mod reader;
mod retry;
mod run;
mod scene;
mod verdict;
mod writer;

/// A whole number of the environment.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
