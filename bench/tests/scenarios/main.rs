//! Scenarios on a few connections, with a gateway: what they count and check, never how long anything takes.

mod program;

use std::time::Duration;

use natter_tests::gateway::Gateway;
use serde_json::Value;

use self::program::{OTHERS, Program, failure};

/// Every message once and in order, everybody there to the end.
fn assert_correct(measured: &Value) {
    for fault in ["lost", "repeated", "refused", "ended"] {
        assert_eq!(measured[fault], 0, "{fault} in {measured:#}");
    }
    assert_ne!(measured["deliveries"], 0);
}

fn assert_bystanders_are_correct(result: &Value) {
    for phase in ["before", "during", "after"] {
        assert_correct(&result["others"][phase]);
    }
}

#[tokio::test]
async fn connect_counts_everybody_in_every_round() {
    let program = Program::new("connect --connections 20 --rounds 2 --rate 200");
    let result = program.result().await.unwrap();
    let rounds = result["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        assert_eq!(round["answered"], 20);
        assert_eq!(round["failed"], 0);
    }
}

#[tokio::test]
async fn presence_is_told_to_everybody_and_counted_by_numbers() {
    let program = Program::new("presence --members 10 --changes 200 --duration 1");
    let result = program.result().await.unwrap();
    let costs = result["costs"].as_array().unwrap();
    let keeping: Vec<_> = costs
        .iter()
        .map(|cost| cost["keeping"].as_str().unwrap())
        .collect();
    assert_eq!(keeping, ["off", "counted", "kept", "told"]);
    for cost in costs {
        assert_eq!(cost["pushes"] != 0.0, cost["keeping"] == "told", "{cost}");
        assert_eq!(cost["words"] != 0.0, cost["keeping"] != "off", "{cost}");
    }
}

#[tokio::test]
async fn after_a_storm_everybody_is_back() {
    let program = Program::new("storm --members 20 --rooms 2 --at-once --duration 1").with(OTHERS);
    let result = program.result().await.unwrap();
    assert_eq!(result["members"], 20);
    assert_eq!(result["refused"], 0);
    assert_bystanders_are_correct(&result);
}

#[tokio::test]
async fn slow_members_are_cut_and_nobody_else() {
    let program =
        Program::new("slow --members 5 --slow 2 --rate 1000 --size 8192 --duration 1 --at-most 100")
            .with("--set client.queue_max_size=64KiB");
    let result = program.result().await.unwrap();
    assert_eq!(result["endings"]["3008 slow"], 2, "{result:#}");
    assert_eq!(result["cut_after"].as_array().unwrap().len(), 2);
    assert_correct(&result["alone"]);
    assert_correct(&result["beside"]);
}

#[tokio::test]
async fn slow_members_that_keep_up_stay() {
    // What the receive buffer holds, fifty times a second, is more than comes.
    let program = Program::new("slow --members 5 --slow 2 --rate 20 --size 100 --reads-every 20")
        .with("--duration 1 --at-most 1");
    let result = program.result().await.unwrap();
    assert_eq!(result["endings"]["still connected"], 2, "{result:#}");
    assert_eq!(result["cut_after"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_flood_counts_every_delivery() {
    let program = Program::new("flood --members 20 --rate 100 --duration 2").with(OTHERS);
    let result = program.result().await.unwrap();
    assert_eq!(result["flood"]["deliveries"], 20 * 100 * 2);
    assert_correct(&result["flood"]);
    assert_bystanders_are_correct(&result);
}

#[tokio::test]
async fn abuse_says_what_was_refused_and_by_which_name() {
    let program =
        Program::new("abuse --commands 20000 --half-open 20 --trickling 2 --deaf 5 --publications 500")
            .with("--bodies 200 --duration 4 --set http.header_timeout=1s --set http.handshake_limit=64")
            .with(OTHERS);
    let result = program.result().await.unwrap();
    assert_bystanders_are_correct(&result);
    assert_eq!(result["sent"]["deaf"], 5);
    for counter in [
        "natter_limited_total{limit=\"commands\"}",
        "natter_limited_total{limit=\"room_publications\"}",
        "natter_limited_total{limit=\"bodies\"}",
        "natter_handshake_failures_total{kind=\"timeout\"}",
    ] {
        assert!(
            result["counted"][counter].as_u64() > Some(0),
            "{counter}: {result:#}"
        );
    }
}

#[tokio::test]
async fn scale_has_a_slope_for_each_axis() {
    let program = Program::new("scale --axis rooms,size --rooms 1,10 --sizes 100,400")
        .with("--deliveries 1000 --duration 1");
    let result = program.result().await.unwrap();
    let axes = result["axes"].as_array().unwrap();
    assert_eq!(axes.len(), 2);
    for axis in axes {
        let steps = axis["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 2);
        for step in steps {
            assert_correct(&step["measured"]);
            // Some of the warm-up may still come.
            assert!(step["measured"]["deliveries"].as_u64() >= Some(1000));
        }
        assert!(axis["cpu_seconds_per_million"]["each"].is_number());
    }
    let program = Program::new("scale --axis rooms --rooms 3,10");
    assert!(
        program
            .failure()
            .await
            .unwrap()
            .contains("cannot be spread evenly")
    );
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_and_no_hang() {
    for (scenario, when) in [
        ("flood --members 20 --duration 600", "without the flood"),
        ("flood --members 20 --duration 3", "flooding"),
        ("storm --members 20 --within 5 --duration 1", "everybody drops"),
        ("slow --members 5 --slow 2 --duration 600", "publishing"),
    ] {
        let gateway = Gateway::builder().start().await.unwrap();
        let process = Program::on(&gateway, scenario).start().unwrap();
        process
            .stderr()
            .wait(0, Duration::from_mins(1), |line| {
                line.starts_with(when).then_some(())
            })
            .await
            .unwrap();
        gateway.kill().unwrap();
        failure(&process).await.unwrap();
    }
}
