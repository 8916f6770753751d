//! No more open files: connections wait outside, nothing spins, and all goes on when files are free again.

use crate::support::{App, Request, gate::Home, process, sender::Connection, tools, wait_until};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Files that a gateway may have open: some 30 are its own.
const FILES: usize = 90;

#[test]
fn without_free_files_accepting_pauses_nothing_spins_and_all_goes_on_later() {
    if !tools::has("prlimit", &["--version"]) {
        return;
    }
    let app = App::start();
    let home = Home::new(&format!(
        "limits: {{ header_timeout: 5m, idle_timeout: 5m }}\nsources:\n  open: {{ verify: none, forward: app }}\n\
         targets:\n  app: {{ url: {}, retry: {{ first: 20ms, max: 200ms }} }}\n",
        app.url()
    ));
    let limit = format!("--nofile={FILES}:{FILES}");
    let gate = home.start_wrapped(&["prlimit", &limit]);
    let event = |n: usize| Request::new("/hooks/open", format!("{{\"n\":{n}}}"));
    let mut early = Connection::open(gate.public);
    assert_eq!(early.send(&event(0)).status, 200);
    app.wait_for(1);
    // The kernel takes them; the gateway can't.
    let crowd: Vec<TcpStream> = (0..2 * FILES)
        .map(|_| TcpStream::connect(gate.public).expect("the kernel's queue has room"))
        .collect();
    wait_until("accepting fails, and that is said", || {
        gate.log().contains("cannot accept connections")
    });
    assert_eq!(early.send(&event(1)).status, 200, "who is in is served");
    let said = gate.log().matches("cannot accept connections").count();
    let before = process::ticks(gate.pid());
    // A window to look through, not a moment to wait for.
    let window = Instant::now();
    std::thread::sleep(Duration::from_secs(3));
    let used = process::ticks(gate.pid()) - before;
    assert!(used < 100, "{used} ticks of 10 ms in 3 s: it spins");
    let said = gate.log().matches("cannot accept connections").count() - said;
    // Once a second, however long it was.
    let most = window.elapsed().as_secs() + 2;
    assert!(said as u64 <= most, "said {said} times, at most {most}");
    drop(crowd);
    wait_until("connections are taken again", || {
        let Ok(stream) = TcpStream::connect(gate.public) else {
            return false;
        };
        let reply = Connection::over(stream).try_send(&event(2));
        reply.is_ok_and(|reply| reply.status == 200)
    });
    app.wait_for(3);
    let (status, log) = gate.stop();
    assert!(status.success(), "{log}");
}
