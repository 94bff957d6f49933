use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;

/// A server that sends `frames` after the first message, wants a pong, and closes with a code of the protocol.
async fn server(frames: &'static [&'static str]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.next().await.unwrap().unwrap();
        for frame in frames {
            socket.send(Message::text(*frame)).await.unwrap();
        }
        let pong = socket.next().await.unwrap().unwrap();
        let code = if pong == Message::text("{}") { 3001 } else { 3002 };
        let close = CloseFrame {
            code: CloseCode::from(code),
            reason: "shutdown".into(),
        };
        socket.close(Some(close)).await.unwrap();
    });
    url
}

#[tokio::test]
async fn pushes_wait_while_a_reply_is_taken_and_pings_are_answered() {
    let frames = &[
        "{\"push\":{\"channel\":\"a\"}}\n{\"push\":{\"channel\":\"b\"}}",
        "{}",
        "{\"id\":1,\"connect\":{\"client\":\"c\"}}",
    ];
    let (mut client, result) = Client::connected(&server(frames).await, json!({})).await.unwrap();
    assert_eq!(result["client"], "c");
    assert_eq!(client.close_frame().await.unwrap(), (3001, "shutdown".to_owned()));
    assert_eq!(client.push().await.unwrap()["channel"], "a");
    assert_eq!(client.push().await.unwrap()["channel"], "b");
    assert!(client.recv().await.is_err());
}

#[tokio::test]
async fn a_ping_is_shown_to_who_asks() {
    let mut client = Client::connect(&server(&["{}"]).await).await.unwrap();
    client.answer_pings(false);
    client.send(&json!({ "connect": {} })).await.unwrap();
    assert_eq!(client.recv().await.unwrap(), json!({}));
    client.send_text("no pong").await.unwrap();
    assert_eq!(client.close_frame().await.unwrap().0, 3002);
}
