//! A courier in hostile hands cannot take what sessions need.

use super::*;

const BOUND: Duration = Duration::from_mins(2);

async fn next(heard: &mut mpsc::Receiver<Message>) -> Message {
    tokio::time::timeout(BOUND, heard.recv()).await.expect("something is heard in time").unwrap()
}

#[tokio::test]
async fn a_courier_that_talks_faster_than_it_is_heard_leaves_the_queue_to_sessions() {
    let (to, mut heard) = mpsc::channel(16);
    let flood = b"{\"connected\":true}\n".repeat(100);
    let talk = tokio::spawn(async move { hear_courier(7, &flood[..], &to).await });
    for _ in 0..100 {
        let message = next(&mut heard).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(heard.is_empty(), "the next one waits until this one was heard");
        drop(message);
    }
    assert_eq!(talk.await.unwrap(), "it closed the connection");
}

#[tokio::test]
async fn a_courier_that_connects_without_end_takes_a_few_descriptors_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("courier.sock");
    let (to, mut heard) = mpsc::channel(64);
    let uid = Some(nix::unistd::geteuid().as_raw());
    tokio::spawn(take_couriers(UnixListener::bind(&path).unwrap(), uid, to));
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(UnixStream::connect(&path).await.unwrap());
    }
    let mut came = Vec::new();
    for _ in 0..MAX_COURIERS {
        let Message::CourierCame { id, to } = next(&mut heard).await else { panic!("a courier comes first") };
        came.push((id, to));
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(heard.is_empty(), "the others wait in the socket's queue");
    // The newest one counts: those before it are let go, and there is room again.
    came.clear();
    loop {
        if let Message::CourierCame { id, .. } = next(&mut heard).await {
            assert_eq!(id, u64::try_from(MAX_COURIERS).unwrap());
            break;
        }
    }
}

#[tokio::test]
async fn the_loop_sees_that_nobody_waits_for_an_answer_any_more() {
    let (to, mut heard) = mpsc::channel(4);
    let (mut module, warden) = UnixStream::pair().unwrap();
    let said = serde_json::json!({
        "format": 1, "service": "sudo", "kind": "elevation", "user": "alice", "target": "root", "pid": 1, "tty": null,
        "origin": null, "session_id": null, "grants": [], "until": 0,
    });
    let (to_serve, line) = (to.clone(), format!("{said}\n"));
    if nix::unistd::geteuid().is_root() {
        let served = tokio::spawn(serve_registration(warden, to_serve));
        module.write_all(line.as_bytes()).await.unwrap();
        let Message::Register { mut answer, .. } = next(&mut heard).await else { panic!("a registration") };
        assert!(!answer.is_closed());
        drop(module);
        tokio::time::timeout(BOUND, answer.closed()).await.unwrap();
        served.await.unwrap().unwrap_err();
    } else {
        let refused = serve_registration(warden, to_serve).await.unwrap_err();
        assert!(refused.contains("not to root"), "{refused}");
    }
}

#[test]
fn a_long_line_is_not_read_on_the_loop_s_thread() {
    // The one thread beside the loop is at something else, so the line must wait for it.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let long = format!("{{\"pulse\":\"{}\"}}", "x".repeat(READ_AT_ONCE)).into_bytes();
        let mut reading = std::pin::pin!(understand(long.clone()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(reading.as_mut().poll(&mut context).is_pending(), "the loop has read it");
        let_go.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert!(matches!(reading.await, Ok(ToWarden::Pulse(pulse)) if pulse.len() == READ_AT_ONCE));
        let garbage = understand([b"{\"nonsense\":", &long[..]].concat()).await;
        assert!(garbage.unwrap_err().contains("nonsense"));
    });
}

#[tokio::test]
async fn a_line_without_an_end_is_given_up_at_the_bound() {
    let (to, _heard) = mpsc::channel(4);
    let end = hear_courier(7, tokio::io::repeat(b'x'), &to).await;
    assert_eq!(end, format!("a line of more than {MAX_LINE_BYTES} bytes"));
}

/// A warden that says after so many questions that the last window is over. Answers how many came.
async fn asked(over_after: u32, bound: Duration) -> u32 {
    let (to, mut heard) = mpsc::channel(4);
    let warden = tokio::spawn(async move {
        let mut count = 0;
        while let Some(Message::IsLastWindowOver { answer, .. }) = heard.recv().await {
            count += 1;
            let _ = answer.send(count >= over_after);
        }
        count
    });
    let grant = GrantId::new("aaaabbbbcccc").unwrap();
    wait_for_last_window(&grant, &to, bound).await.unwrap();
    drop(to);
    warden.await.unwrap()
}

#[tokio::test]
async fn a_code_waits_until_its_grant_s_last_window_is_over_and_not_for_ever() {
    assert_eq!(asked(1, BOUND).await, 1);
    assert_eq!(asked(3, BOUND).await, 3);
    assert!(asked(u32::MAX, LAST_WINDOW_EVERY * 3).await >= 1, "it opens all the same");
}
