//! A process that answers for vendors' libraries, line by line (`tests/oracles/README.md` has the protocol).

use super::request::Request;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The language that a library is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// The libraries of one language.
#[derive(Debug)]
pub(super) struct Libraries {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// One library as it describes itself.
#[derive(Clone, Debug)]
pub(super) struct Library {
    pub(super) oracle: String,
    /// Package and version.
    pub(super) name: String,
    pub(super) signs: bool,
    /// Whether it proves with key pairs, which it makes itself.
    pub(super) keys: bool,
}

/// What signs and what verifies; one text for shared secrets.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) signing: String,
    pub(super) verifying: String,
}

impl Libraries {
    /// Starts the process of that language with what is installed in `kit`.
    pub(super) fn start(language: Language, kit: &Path) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles");
        let mut command = match language {
            Language::Python => Command::new(kit.join("venv/bin/python")),
            Language::JavaScript => Command::new("node"),
        };
        command.arg(scripts.join(match language {
            Language::Python => "oracle.py",
            Language::JavaScript => "oracle.mjs",
        }));
        let mut process = command
            .env("HOOKGATE_ORACLES", kit)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            questions: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
        }
    }

    /// All libraries behind this process.
    pub(super) fn list(&mut self) -> Vec<Library> {
        let listed = self.ask(&json!({ "op": "list" }));
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        listed["oracles"]
            .as_array()
            .expect("a list of oracles")
            .iter()
            .map(|one| Library {
                oracle: text(one, "oracle"),
                name: format!("{} {}", text(one, "library"), text(one, "version")),
                signs: one["signs"] == true,
                keys: one["keys"] == true,
            })
            .collect()
    }

    /// A new key pair in the vendor's notation.
    pub(super) fn keys(&mut self, oracle: &str) -> Keys {
        let made = self.ask(&json!({ "op": "keys", "oracle": oracle }));
        let text = |key: &str| made[key].as_str().expect("a key").to_owned();
        Keys {
            signing: text("signing"),
            verifying: text("verifying"),
        }
    }

    /// Adds what the library says that the sender adds.
    pub(super) fn sign(
        &mut self,
        oracle: &str,
        secret: &str,
        request: &mut Request,
        now: u64,
    ) -> Result<(), String> {
        let signed = self.ask(&question("sign", oracle, secret, request, now));
        let added = signed["headers"]
            .as_object()
            .ok_or_else(|| signed.to_string())?;
        for (name, value) in added {
            request.set(name, value.as_str().expect("headers are texts"));
        }
        if let Some(body) = signed["body_base64"].as_str() {
            request.body = STANDARD.decode(body).expect("base64").into();
        }
        Ok(())
    }

    /// Whether the library accepts the request; `Err` is what it stumbled over.
    pub(super) fn verify(
        &mut self,
        oracle: &str,
        secret: &str,
        request: &Request,
        now: u64,
    ) -> Result<bool, String> {
        let said = self.ask(&question("verify", oracle, secret, request, now));
        said["ok"].as_bool().ok_or_else(|| said.to_string())
    }

    fn ask(&mut self, question: &Value) -> Value {
        let mut line = question.to_string();
        line.push('\n');
        let questions = self.questions.as_mut().expect("open until it is dropped");
        questions
            .write_all(line.as_bytes())
            .expect("the process takes questions");
        line.clear();
        self.answers
            .read_line(&mut line)
            .expect("the process answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in answer {line:?}"))
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        drop(self.questions.take());
        drop(self.process.wait());
    }
}

fn question(op: &str, oracle: &str, secret: &str, request: &Request, now: u64) -> Value {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().expect("headers of these requests are ASCII");
            (name.as_str().to_owned(), value.into())
        })
        .collect();
    json!({
        "op": op,
        "oracle": oracle,
        "secret": secret,
        "now": now,
        "method": request.method.as_str(),
        "url": request.url(),
        "headers": headers,
        "body_base64": STANDARD.encode(&request.body),
    })
}
