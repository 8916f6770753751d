//! The customer's app: a blocking HTTP/1.1 server that does what the test says and remembers what it got.

use super::sender::Head;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt::set_socket_reuseaddr};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the app does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Answers with this status and no body.
    Status(u16),
    /// Answers with these bytes as they are, then goes on.
    Raw(Vec<u8>),
    /// Writes these bytes and closes the connection.
    RawThenClose(Vec<u8>),
    /// Answers with these bytes, one after the other with a pause between them, then goes on.
    Slowly(Vec<u8>, Duration),
    /// Answers nothing until the behaviour changes, then closes.
    Hang,
    /// Answers nothing until the behaviour changes, then answers with this status.
    Hold(u16),
    /// Closes the connection without an answer.
    Close,
    /// Writes a head with chunked coding, then body without end, until the peer goes away.
    Endless,
}

/// One request that the app got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, Vec<String>>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on: 0, 1, 2 ...
    pub(crate) connection: usize,
    /// What the app answered with; 0 for no answer.
    pub(crate) answered: u16,
}

impl Got {
    /// The only value of a header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.headers.get(name).map(Vec::as_slice) {
            Some([value]) => value,
            other => panic!("expected one {name} header, got {other:?}"),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }
}

type Choose = dyn Fn(&Got) -> Behaviour + Send + Sync;
type Observe = dyn Fn(&Got) + Send + Sync;

struct State {
    choose: Arc<Choose>,
    /// Counts the changes of behaviour, so that a hanging answer notices.
    changes: u64,
    got: Vec<Got>,
    connections: usize,
    streams: Vec<TcpStream>,
    /// Sees every request, which is then forgotten.
    observe: Option<Arc<Observe>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    down: AtomicBool,
}

/// A running app. Dropped, it goes down.
pub(crate) struct App {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
    /// Its port while it is down.
    reserved: Option<OwnedFd>,
}

impl App {
    /// An app that answers 200, on a host of its own: nobody else gets its port while it goes down and comes back.
    pub(crate) fn start() -> Self {
        Self::start_with(&format!("{}:0", super::own_host()), None)
    }

    /// The same at an address of the test's own.
    pub(crate) fn start_at(address: &str) -> Self {
        Self::start_with(address, None)
    }

    /// The same, one that remembers nothing: `observe` sees each request, with what it is answered.
    pub(crate) fn observed(observe: impl Fn(&Got) + Send + Sync + 'static) -> Self {
        let address = format!("{}:0", super::own_host());
        Self::start_with(&address, Some(Arc::new(observe)))
    }

    fn start_with(address: &str, observe: Option<Arc<Observe>>) -> Self {
        let listener = super::eventually("the app's address is free", || {
            TcpListener::bind(address).ok()
        });
        let address = listener.local_addr().expect("an address");
        let state = State {
            choose: Arc::new(|_| Behaviour::Status(200)),
            changes: 0,
            got: Vec::new(),
            connections: 0,
            streams: Vec::new(),
            observe,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            down: AtomicBool::new(false),
        });
        let accepting = Some(accept(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            accepting,
            reserved: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhooks", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .expect("no test thread panicked with it")
    }

    /// Does this with every request from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.choose(move |_| behaviour.clone());
    }

    /// Decides for each request from now on.
    pub(crate) fn choose(&self, choose: impl Fn(&Got) -> Behaviour + Send + Sync + 'static) {
        let mut state = self.state();
        state.choose = Arc::new(choose);
        state.changes += 1;
        self.shared.changed.notify_all();
    }

    /// Everything it got so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.state().got.clone()
    }

    /// How many requests it got so far.
    pub(crate) fn count(&self) -> usize {
        self.state().got.len()
    }

    /// Connections that it has taken so far.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// Waits until it has got `count` requests, and returns all.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Got> {
        super::wait_until(
            &format!("app gets {count} requests (has {})", self.count()),
            || self.count() >= count,
        );
        self.got()
    }

    /// Stops listening and cuts every connection: whoever connects now is refused.
    pub(crate) fn go_down(&mut self) {
        self.shared.down.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then drops the listener.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting
                .join()
                .expect("the accepting thread does not panic");
        }
        self.reserved = Some(reserve(self.address));
        let mut state = self.state();
        state.changes += 1;
        self.shared.changed.notify_all();
        for stream in state.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again at the same address.
    pub(crate) fn come_back(&mut self) {
        self.reserved = None;
        let listener = super::eventually("the app's port is free again", || {
            TcpListener::bind(self.address).ok()
        });
        self.shared.down.store(false, Ordering::SeqCst);
        self.accepting = Some(accept(listener, Arc::clone(&self.shared)));
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.go_down();
        }
    }
}

/// Holds a port on which nobody listens: connections are refused, and no other test's app gets it, which would then hear
/// what is meant for this one.
fn reserve(address: SocketAddr) -> OwnedFd {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_socket_reuseaddr(&socket, true).expect("an open socket");
    super::eventually("the app's port can be held", || {
        bind(&socket, &address).ok()
    });
    socket
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.down.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            stream.set_nodelay(true).expect("a TCP socket");
            let connection = {
                let mut state = shared
                    .state
                    .lock()
                    .expect("no test thread panicked with it");
                state.connections += 1;
                state
                    .streams
                    .push(stream.try_clone().expect("a second handle"));
                state.connections - 1
            };
            let shared = Arc::clone(&shared);
            // The peer may go away at any time: that ends the connection, and is no failure.
            std::thread::spawn(move || drop(serve(stream, connection, &shared)));
        }
    })
}

fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut stream, &mut buffer)? {
        let mut got = Got {
            target: head.target,
            headers: head.headers,
            body,
            connection,
            answered: 0,
        };
        let mut seen = None;
        let (behaviour, changes) = {
            let mut state = shared
                .state
                .lock()
                .expect("no test thread panicked with it");
            let behaviour = (state.choose)(&got);
            if let Behaviour::Status(status) = behaviour {
                got.answered = status;
            }
            match state.observe.clone() {
                None => state.got.push(got),
                Some(observe) => seen = Some((observe, got)),
            }
            (behaviour, state.changes)
        };
        // Without the lock: it may take its time.
        if let Some((observe, got)) = seen {
            observe(&got);
        }
        match behaviour {
            Behaviour::Status(status) => write!(
                stream,
                "HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n\r\n"
            )?,
            Behaviour::Raw(bytes) => stream.write_all(&bytes)?,
            Behaviour::Slowly(bytes, pause) => {
                for byte in bytes {
                    std::thread::sleep(pause);
                    stream.write_all(&[byte])?;
                }
            }
            Behaviour::RawThenClose(bytes) => {
                stream.write_all(&bytes)?;
                return stream.shutdown(Shutdown::Both);
            }
            Behaviour::Hang => {
                let state = shared
                    .state
                    .lock()
                    .expect("no test thread panicked with it");
                drop(
                    shared
                        .changed
                        .wait_while(state, |state| state.changes == changes),
                );
                return stream.shutdown(Shutdown::Both);
            }
            Behaviour::Hold(status) => {
                let state = shared
                    .state
                    .lock()
                    .expect("no test thread panicked with it");
                drop(
                    shared
                        .changed
                        .wait_while(state, |state| state.changes == changes),
                );
                write!(
                    stream,
                    "HTTP/1.1 {status} Held\r\nContent-Length: 0\r\n\r\n"
                )?;
            }
            Behaviour::Close => return stream.shutdown(Shutdown::Both),
            Behaviour::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk)?;
                }
            }
        }
    }
    Ok(())
}

fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(Head, Vec<u8>)>> {
    loop {
        if let Some((head, used)) = Head::parse(buffer) {
            let length: usize = head
                .headers
                .get("content-length")
                .map_or(0, |v| v[0].parse().expect("a length"));
            assert!(
                !head.headers.contains_key("transfer-encoding"),
                "the gateway sends lengths"
            );
            if buffer.len() >= used + length {
                let rest = buffer.split_off(used + length);
                let body = buffer.split_off(used);
                *buffer = rest;
                return Ok(Some((head, body)));
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
