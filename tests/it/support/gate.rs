//! The gateway: the real binary in a process of its own, on free ports, with a store in a directory of its own.

use super::{Reply, Request, eventually, process, sender::Connection};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const HOOKGATE: &str = env!("CARGO_BIN_EXE_hookgate");

/// 1 unless the last configuration that was read could not be used.
pub(crate) const RELOADED: &str = "hookgate_config_last_reload_successful";

/// A configuration and the directory that its store lives in: it outlasts the gateways that run on it.
pub(crate) struct Home {
    dir: TempDir,
    environment: Vec<(String, String)>,
    /// A command that the gateway is run under, such as `strace -f`.
    wrapper: Vec<String>,
    /// Options of `run` beside the usual ones.
    options: Vec<String>,
    /// Given to the gateway as its standard input.
    socket: Option<OwnedFd>,
}

impl Home {
    /// `sources_and_targets` is the part of the file below `listen`, `admin` and `store`. A `listen:`, an `admin:`, a `store:`
    /// and a `reload:` section of its own may be given too; the store's path is `./data` in the directory.
    pub(crate) fn new(sources_and_targets: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Self {
            dir,
            environment: Vec::new(),
            wrapper: Vec::new(),
            options: Vec::new(),
            socket: None,
        };
        home.configure(sources_and_targets);
        home
    }

    /// Writes the configuration anew; gateways that run keep theirs.
    pub(crate) fn configure(&self, sources_and_targets: &str) {
        let unless = |section: &str, text: &'static str| {
            let given = sources_and_targets
                .lines()
                .any(|line| line.starts_with(section));
            if given { "" } else { text }
        };
        let admin = unless("admin:", "admin: { listen: 127.0.0.1:0 }\n");
        let store = unless("store:", "store: { path: ./data, min_free: 1MiB }\n");
        let listen = unless("listen:", "listen: 127.0.0.1:0\n");
        // A test says when.
        let reload = unless("reload:", "reload: { watch: 0s }\n");
        let text = format!("{listen}{admin}{store}{reload}{sources_and_targets}");
        std::fs::write(self.file(), text).expect("a writable directory");
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub(crate) fn options(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Hands a listening socket over to each gateway, as a service manager does: as its descriptor 3, of this name.
    pub(crate) fn handing(self, socket: OwnedFd, name: &str) -> Self {
        let hand = format!(
            "exec 3<&0 </dev/null && LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} exec \"$@\""
        );
        let mut home = self.wrapped(&["sh", "-c", &hand, "sh"]);
        home.socket = Some(socket);
        home
    }

    fn stdin(&self) -> Stdio {
        match &self.socket {
            Some(socket) => Stdio::from(socket.try_clone().expect("a second handle")),
            None => Stdio::null(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path().join("hookgate.yaml")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/hookgate.db")
    }

    /// A command that runs the binary here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let wrapper: Vec<&str> = self.wrapper.iter().map(String::as_str).collect();
        self.command_under(&wrapper, args)
    }

    /// Runs the binary here to its end: the exit code, and everything that was printed.
    pub(crate) fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self
            .command(args)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// What `check` says of the configuration, and its exit code.
    pub(crate) fn check(&self) -> (Option<i32>, String) {
        self.said(&["check", "-c", "hookgate.yaml"])
    }

    fn command_under(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let mut words = wrapper
            .iter()
            .copied()
            .chain([HOOKGATE])
            .chain(args.iter().copied());
        let mut command = Command::new(words.next().expect("at least the binary"));
        command
            .args(words)
            .current_dir(self.path())
            .envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Starts a gateway and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self) -> Gate {
        self.try_start().unwrap_or_else(|(status, log)| {
            panic!("the gateway ended with {status} before it was ready:\n{log}")
        })
    }

    /// Starts a gateway, or returns how it ended instead.
    #[track_caller]
    pub(crate) fn try_start(&self) -> Result<Gate, (ExitStatus, String)> {
        let wrapper: Vec<&str> = self.wrapper.iter().map(String::as_str).collect();
        self.try_start_wrapped(&wrapper)
    }

    /// As [`Self::start`], under another command this once.
    #[track_caller]
    pub(crate) fn start_wrapped(&self, wrapper: &[&str]) -> Gate {
        self.try_start_wrapped(wrapper)
            .unwrap_or_else(|(status, log)| {
                panic!("the gateway ended with {status} before it was ready:\n{log}")
            })
    }

    /// Runs a gateway under another command, one that ends by itself: its process, and how it ended.
    #[track_caller]
    pub(crate) fn run_to_its_end(&self, wrapper: &[&str]) -> (u32, ExitStatus) {
        let mut child = self
            .command_under(wrapper, &["run", "-c", "hookgate.yaml"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let status = eventually("the gateway ends", || {
            child.try_wait().expect("a child of ours")
        });
        (child.id(), status)
    }

    /// As [`Self::try_start`], under another command this once.
    #[track_caller]
    pub(crate) fn try_start_wrapped(&self, wrapper: &[&str]) -> Result<Gate, (ExitStatus, String)> {
        let args = ["run", "-c", "hookgate.yaml", "--log-format", "json"];
        let mut child = self
            .command_under(wrapper, &args)
            .args(&self.options)
            .stdin(self.stdin())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let reading = {
            let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let mut log = log.lock().expect("no test thread panicked with it");
                    log.push_str(&line);
                    log.push('\n');
                }
            })
        };
        // From here on it is killed if the test ends, also where it does not come up in time.
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut gate = Gate {
            child,
            public: nowhere,
            admin: nowhere,
            log,
            reading: Some(reading),
        };
        let found = eventually("the gateway says where it listens", || {
            if let Some(status) = gate.child.try_wait().expect("a child of ours") {
                return Some(Err(status));
            }
            addresses(&gate.log()).map(Ok)
        });
        match found {
            Ok((public, admin)) => {
                (gate.public, gate.admin) = (public, admin);
                Ok(gate)
            }
            Err(status) => {
                let reading = gate.reading.take().expect("only taken here");
                reading.join().expect("the reading thread does not panic");
                Err((status, gate.log()))
            }
        }
    }
}

/// Where the gateway listens, from its first log lines: on at least one address, the first of which counts.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((
            line["listen"]
                .as_str()?
                .split(", ")
                .find_map(|place| place.parse().ok())?,
            line["admin"].as_str()?.parse().ok()?,
        ))
    })
}

/// A running gateway. Dropped, it is killed.
pub(crate) struct Gate {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Gate {
    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log
            .lock()
            .expect("no test thread panicked with it")
            .clone()
    }

    /// Waits for the first line of the log with this text: what is said is read a little after it has happened.
    #[track_caller]
    pub(crate) fn said(&self, text: &str) -> String {
        eventually(&format!("it is logged: {text}"), || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(text));
            line.map(str::to_owned)
        })
    }

    /// All places where senders connect, as it has logged them.
    #[track_caller]
    pub(crate) fn places(&self) -> Vec<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("\"listen\":"));
        let line: serde_json::Value =
            serde_json::from_str(line.expect("it has said so")).expect("JSON");
        let places = line["listen"].as_str().expect("text").split(", ");
        places.map(str::to_owned).collect()
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Reply {
        request.send(self.public)
    }

    /// GETs a path of the admin side.
    #[track_caller]
    pub(crate) fn admin_get(&self, path: &str) -> Reply {
        let mut connection = Connection::open(self.admin);
        connection.write(
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        connection.reply()
    }

    /// POSTs JSON to a path of the admin side.
    #[track_caller]
    pub(crate) fn admin_post(&self, path: &str, body: &serde_json::Value) -> Reply {
        let stream = TcpStream::connect(self.admin).expect("the gateway takes connections");
        try_post(stream, path, body).expect("an answer")
    }

    /// Asks it to read its configuration anew.
    #[track_caller]
    pub(crate) fn reload(&self) -> Reply {
        self.admin_post("/-/reload", &serde_json::json!({}))
    }

    /// The same, for a configuration that it has to use.
    #[track_caller]
    pub(crate) fn reloaded(&self) {
        let reply = self.reload();
        assert_eq!(reply.status, 200, "{reply:?}\n{}", self.log());
    }

    /// The hash of the configuration that runs, as `/metrics` has it.
    #[track_caller]
    pub(crate) fn config_hash(&self) -> String {
        let metrics = self.admin_get("/metrics").body;
        let mut lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("hookgate_config_info{hash=\""));
        let hash = lines.next().expect("a series");
        assert_eq!(lines.next(), None, "one configuration runs");
        hash.strip_suffix("\"} 1").expect("the one").to_owned()
    }

    /// The value of a series, such as `hookgate_events_total{source="a",result="accepted"}`; labels in any order.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.admin_get("/metrics").body;
        find_series(&text, series).unwrap_or_else(|| panic!("no series {series} in\n{text}"))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success(), "the gateway is alive");
    }

    /// Does something while its process stands still. The kernel takes connections and bytes for it, so that what is opened
    /// and written here is all there when it goes on: nothing of it is late, however busy the machine is.
    #[track_caller]
    pub(crate) fn while_stopped<T>(&self, something: impl FnOnce() -> T) -> T {
        struct GoesOn<'a>(&'a Gate);
        impl Drop for GoesOn<'_> {
            fn drop(&mut self) {
                self.0.signal("CONT");
            }
        }
        self.signal("STOP");
        let _goes_on = GoesOn(self);
        eventually("every thread of it stands", || {
            process::is_stopped(self.pid()).then_some(())
        });
        something()
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut of the process would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    /// Asks it to stop, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the gateway ends", || {
            self.child.try_wait().expect("a child of ours")
        });
        self.reading
            .take()
            .expect("only taken here")
            .join()
            .expect("the reading thread does not panic");
        (status, self.log())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// POSTs JSON to a path of an admin side that may go away meanwhile.
pub(crate) fn try_post(
    admin: TcpStream,
    path: &str,
    body: &serde_json::Value,
) -> std::io::Result<Reply> {
    let body = body.to_string();
    let mut connection = Connection::over(admin);
    connection.try_write(
        format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )?;
    connection
        .read_reply()?
        .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// The value of a series in Prometheus text; its labels may stand in any order.
pub(crate) fn find_series(text: &str, series: &str) -> Option<f64> {
    fn parts(series: &str) -> (&str, Vec<&str>) {
        let Some((name, labels)) = series.split_once('{') else {
            return (series, Vec::new());
        };
        let mut labels: Vec<&str> = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty())
            .collect();
        labels.sort_unstable();
        (name, labels)
    }
    let wanted = parts(series);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (parts(found) == wanted).then(|| value.parse().expect("a number"))
        })
}
