//! strace: makes system calls of one thread fail, or writes down what a whole gateway does.

use super::{Gate, eventually, tools, wait_until};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The thread that commits.
pub(crate) const WRITER: &str = "store-writer";

/// The thread that checkpoints (the kernel keeps 15 letters of a name).
pub(crate) const CHECKPOINT: &str = "store-checkpoin";

/// Whether strace is there. Says so when it is not.
#[track_caller]
pub(crate) fn is_there() -> bool {
    tools::has("strace", &["-V"])
}

/// A thread of a gateway by its name. Threads of SQLite's own do not exist.
pub(crate) fn thread_of(gate: &Gate, name: &str) -> String {
    let tasks = format!("/proc/{}/task", gate.pid());
    eventually(&format!("the gateway has a thread {name}"), || {
        let tasks = std::fs::read_dir(&tasks).expect("the gateway is alive");
        tasks.flatten().find_map(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim_end() == name).then(|| task.file_name().into_string().expect("a number"))
        })
    })
}

/// strace at one thread. Dropped, it lets go.
pub(crate) struct Attached(Child);

impl Attached {
    /// Injects into calls of that thread from now on, such as `fdatasync:error=EIO:when=2`.
    #[track_caller]
    pub(crate) fn to(gate: &Gate, thread: &str, inject: &str) -> Self {
        let calls = inject.split(':').next().expect("a first part");
        let mut child = Command::new("strace")
            .args(["-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={inject}")])
            .args(["-p", &thread_of(gate, thread)])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace runs");
        let said = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().expect("piped");
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                use std::io::Read;
                let mut chunk = [0; 512];
                while let Ok(read @ 1..) = stderr.read(&mut chunk) {
                    let text = String::from_utf8_lossy(&chunk[..read]);
                    said.lock().expect("not poisoned").push_str(&text);
                }
            }
        });
        wait_until("strace is attached", || {
            said.lock().expect("not poisoned").contains("attached")
        });
        Self(child)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // TERM, not KILL: it has to let go of the thread. It ends by itself where the thread is gone.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// The command that a gateway is run under so that everything it does to files and sockets is written to `trace`.
pub(crate) fn recorder(trace: &str, more: &[&str]) -> Vec<String> {
    const CALLS: &str = "trace=pwrite64,pwritev,write,writev,sendto,sendmsg,fdatasync,fsync,\
                         ftruncate,fallocate,openat,mkdir,unlink,unlinkat,rename";
    // Daemonized, it is the gateway itself that is our child, and ends with its gate.
    let words = [
        "strace", "-D", "-f", "-y", "-s", "4000000", "-e", CALLS, "-o", trace,
    ];
    words
        .iter()
        .chain(more)
        .map(|&word| word.to_owned())
        .collect()
}

/// One call of a trace that has returned.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) thread: u32,
    pub(crate) name: String,
    /// Everything between the brackets.
    pub(crate) arguments: String,
    /// What it returned; -1 for an error, none where the process was killed in it.
    pub(crate) result: Option<i64>,
    /// It was not made at all: strace has answered instead.
    pub(crate) injected: bool,
}

/// What happens in a trace.
#[derive(Debug)]
pub(crate) enum Moment {
    /// A call begins: its thread, name and arguments.
    Entry(u32, String, String),
    /// A call has returned.
    Exit(Call),
}

/// Reads a trace in its order: a call that took longer than the next line of another thread begins and ends apart.
pub(crate) fn moments(trace: &str) -> Vec<Moment> {
    let mut begun: std::collections::HashMap<u32, (String, String)> =
        std::collections::HashMap::new();
    let mut moments = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Ok(thread) = thread.parse() else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            if let Some((name, first)) = begun.remove(&thread)
                && let Some((_, second)) = resumed.split_once(" resumed>")
            {
                moments.extend(exit(thread, &name, &format!("{first}{second}")));
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else {
            continue;
        };
        if let Some(arguments) = arguments.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (name.to_owned(), arguments.to_owned()));
            moments.push(Moment::Entry(thread, name.to_owned(), arguments.to_owned()));
        } else if let Some(exit) = exit(thread, name, arguments) {
            moments.push(Moment::Entry(thread, name.to_owned(), arguments.to_owned()));
            moments.push(exit);
        }
    }
    // Killed in the middle of it.
    for (thread, (name, arguments)) in begun {
        moments.extend(exit(thread, &name, &format!("{arguments}) = ?")));
    }
    moments
}

/// `text` is `arguments) = result ...`.
fn exit(thread: u32, name: &str, text: &str) -> Option<Moment> {
    let (arguments, result) = text.rsplit_once(") = ").or_else(|| {
        // Padded to a column.
        let at = text.rfind(" = ")?;
        let arguments = text[..at].trim_end().strip_suffix(')')?;
        Some((arguments, &text[at + 3..]))
    })?;
    let number: String = result
        .chars()
        .take_while(|c| *c == '-' || c.is_ascii_digit())
        .collect();
    if number.is_empty() && !result.starts_with('?') {
        return None;
    }
    Some(Moment::Exit(Call {
        thread,
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        result: number.parse().ok(),
        injected: result.contains("(INJECTED)"),
    }))
}

/// The bytes of the string that begins at the first quote of `text`, and what follows it.
pub(crate) fn string(text: &str) -> Option<(Vec<u8>, &str)> {
    let start = text.find('"')? + 1;
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), start);
    while bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        at += 1;
        let escaped = bytes[at];
        at += 1;
        match escaped {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'v' => out.push(0x0b),
            b'f' => out.push(0x0c),
            b'0'..=b'7' => {
                let mut value = u32::from(escaped - b'0');
                let end = at + 2;
                while at < end && bytes[at].is_ascii_digit() && bytes[at] < b'8' {
                    value = value * 8 + u32::from(bytes[at] - b'0');
                    at += 1;
                }
                out.push(u8::try_from(value).expect("three octal digits of a byte"));
            }
            other => out.push(other),
        }
    }
    let rest = &text[at + 1..];
    assert!(!rest.starts_with("..."), "the trace is cut: {rest:.40}");
    Some((out, rest))
}
