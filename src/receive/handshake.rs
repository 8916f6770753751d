//! A vendor that asks whether the URL is its own: it gets its answer, and nothing else happens. One that brings the
//! secret it has chosen is believed once: the first secret is written to the source's file, and no other one after it.

use super::Receive;
use super::rejection::Rejection;
use super::source::{Proof, Source};
use crate::config::{self, Verify};
use crate::http::Answer;
use crate::verify::{HandshakeAnswer, Refused, Request};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use http_body_util::Full;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The answer of the source's rules to this request; none if it is no handshake but may be an event. A rule that asks for a proof answers
/// nobody without one, and what lacks the thing that is to be answered is refused like a wrong signature. `unproven` is
/// the body of a request that has proven nothing yet.
pub(super) async fn answer(
    receive: &Receive,
    source: &Source,
    proof: &Proof,
    request: Request<'_>,
    unproven: Option<&Bytes>,
    now_ms: u64,
) -> Result<Option<HandshakeAnswer>, Rejection> {
    let Some(rule) = proof.handshakes.rule(request) else {
        return match *request.method {
            Method::POST => Ok(None),
            _ => Err(Rejection::Method),
        };
    };
    if rule.verified
        && let Some(body) = unproven
    {
        let headers = request.headers.clone();
        let (method, query) = (request.method, request.query);
        proof
            .verifier
            .verify(method, query, headers, body.clone(), now_ms)?;
    }
    let answer = proof.handshakes.answer(rule, request, now_ms);
    let answer = answer.ok_or(Refused::Bad)?;
    if let Some(file) = &source.config.learn_to
        && let Some(secret) = proof.handshakes.brought(rule, request)
    {
        learn(receive, source, file.clone(), secret).await?;
    }
    // Anybody may ask, as often as they like.
    if let Some(suppressed) = source.handshakes.pass() {
        tracing::info!(source = %source.config.name, suppressed, "handshake answered");
    }
    Ok(Some(answer))
}

/// Keeps the secret that a vendor brings.
async fn learn(
    receive: &Receive,
    source: &Source,
    file: PathBuf,
    secret: Zeroizing<Vec<u8>>,
) -> Result<(), Rejection> {
    if !may_be_kept(&source.config.verify, &secret) {
        if let Some(suppressed) = source.strange_secrets.pass() {
            tracing::warn!(
                source = %source.config.name,
                suppressed,
                "a handshake brought what cannot be the secret: it is too long, no line of text, or makes no key for verify"
            );
        }
        return Err(Refused::Bad.into());
    }
    let name = file.display().to_string();
    let writing = tokio::task::spawn_blocking(move || write_once(&file, &secret));
    let written = writing.await.map_err(io::Error::other).flatten();
    match written {
        Ok(Written::New) => {
            tracing::info!(source = %source.config.name, file = name, "secret learned from a handshake");
            receive.learned.notify_one();
            Ok(())
        }
        Ok(Written::Before) => Ok(()),
        Ok(Written::Another) => {
            if let Some(suppressed) = source.strange_secrets.pass() {
                tracing::warn!(
                    source = %source.config.name,
                    file = name,
                    suppressed,
                    "a handshake brought another secret than the one that is known; remove the file to take a new one"
                );
            }
            Err(Refused::Bad.into())
        }
        Err(error) => {
            if let Some(suppressed) = source.strange_secrets.pass() {
                tracing::error!(source = %source.config.name, file = name, suppressed, %error, "cannot write the secret of a handshake");
            }
            Err(crate::store::NotStored::Unavailable.into())
        }
    }
}

/// Bytes of the longest secret that is kept: vendors choose a line of text.
const LEARNED_BYTES_MAX: usize = 1 << 10;

/// Whether the configuration would take this secret from the file. Anybody may bring one, and a file that it refuses
/// would keep the gateway from starting again.
fn may_be_kept(verify: &Verify, secret: &[u8]) -> bool {
    secret.len() <= LEARNED_BYTES_MAX
        && std::str::from_utf8(secret).is_ok_and(|text| !text.contains(char::is_control))
        && config::takes(verify, secret)
}

/// What became of a secret that was brought.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// It is the first.
    New,
    /// It was known.
    Before,
    /// Another one is known.
    Another,
}

/// Writes a file that is not there, for its owner alone; whole before it has its name, so that nobody reads a part.
fn write_once(file: &Path, secret: &[u8]) -> io::Result<Written> {
    if file.try_exists()? {
        return same(file, secret);
    }
    let whole = beside(file);
    // Fails if another handshake was first.
    let linked = write_new(&whole, secret).and_then(|()| std::fs::hard_link(&whole, file));
    let removed = std::fs::remove_file(&whole);
    match linked {
        Ok(()) => {
            removed?;
            let parent = file
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => same(file, secret),
        Err(error) => Err(error),
    }
}

/// A name beside the file that no other handshake has, in this process or another.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", fastrand::u64(..)));
    name.into()
}

/// Writes a file of its own: neither another's nor one behind a link.
fn write_new(file: &Path, secret: &[u8]) -> io::Result<()> {
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    new.write_all(secret)?;
    new.write_all(b"\n")?;
    new.sync_all()
}

fn same(file: &Path, secret: &[u8]) -> io::Result<Written> {
    use subtle::ConstantTimeEq as _;

    let mut known = Zeroizing::new(Vec::new());
    // One byte more than it may hold is enough to tell that it is another.
    let most = secret.len() as u64 + 2;
    File::open(file)?.take(most).read_to_end(&mut known)?;
    let known = known.strip_suffix(b"\n").unwrap_or(&known);
    Ok(if known.ct_eq(secret).into() {
        Written::Before
    } else {
        Written::Another
    })
}

/// The answer as it goes out.
pub(super) fn respond(answered: HandshakeAnswer) -> Answer {
    let mut answer = Response::new(Full::new(answered.body));
    *answer.status_mut() = answered.status;
    *answer.headers_mut() = answered.headers;
    answer
}

impl Source {
    /// A 405 says what the source's rules answer beside POST (RFC 9110 15.5.6).
    pub(super) fn allowing(&self, mut answer: Answer) -> Answer {
        let proof = self.proof();
        let methods = proof.handshakes.methods();
        if !methods.is_empty()
            && let Some(allow) = answer.headers_mut().get_mut(header::ALLOW)
        {
            let names: Vec<&str> = ["POST"]
                .into_iter()
                .chain(methods.iter().map(Method::as_str))
                .collect();
            *allow = HeaderValue::try_from(names.join(", ")).expect("methods are tokens");
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_secret_is_kept_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        assert_eq!(write_once(&file, b"first").expect("writable"), Written::New);
        assert_eq!(std::fs::read(&file).expect("written"), b"first\n");
        let mode = std::fs::metadata(&file)
            .expect("written")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            write_once(&file, b"first").expect("readable"),
            Written::Before
        );
        for other in [&b"second"[..], b"firs", b"first1", b""] {
            assert_eq!(
                write_once(&file, other).expect("readable"),
                Written::Another
            );
        }
        assert_eq!(std::fs::read(&file).expect("written"), b"first\n");
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("a directory").count(),
            1
        );
        assert!(write_once(&dir.path().join("no/such/place"), b"x").is_err());
    }

    /// A source of these settings.
    fn verify(settings: &str) -> Verify {
        let text = format!(
            "sources: {{ erp: {{ secret: ab12, verify: {settings}, forward: 'http://127.0.0.1:1/' }} }}"
        );
        let process = config::load::Process {
            variable: &|_| None,
            open_files_max: Some(1 << 20),
        };
        let options = config::load::Options::default();
        let (config, _) = config::load::load_text("hookgate.yaml", &text, options, &process)
            .expect("a configuration");
        config.sources[0].verify.clone()
    }

    #[test]
    fn what_the_configuration_would_refuse_is_not_kept() {
        let text = verify("{ hmac: { header: X-A } }");
        let hex = verify("{ hmac: { header: X-A, key: hex } }");
        let token = verify("{ token: { header: X-A } }");
        let (longest, longer) = ("a".repeat(1 << 10), "a".repeat((1 << 10) + 1));
        let cases: [(&Verify, &[u8], bool); 13] = [
            (&text, b"ab cd", true),
            (&text, "\u{e9}".as_bytes(), true),
            (&text, longest.as_bytes(), true),
            (&text, longer.as_bytes(), false),
            (&text, b"", false),
            // Of these a part would be lost with the end of the file's line, or all of it.
            (&text, b"\r", false),
            (&text, b"a\r", false),
            (&text, b"a\n", false),
            (&text, b"a\0", false),
            (&text, b"\xff", false),
            (&hex, b"00ff", true),
            (&hex, b"00fg", false),
            (&token, b" a", false),
        ];
        for (verify, secret, kept) in cases {
            assert_eq!(may_be_kept(verify, secret), kept, "{secret:?}");
        }
    }

    #[test]
    fn of_many_at_once_one_is_first() {
        const AT_ONCE: usize = 8;
        for _ in 0..20 {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("secret");
            let start = std::sync::Barrier::new(AT_ONCE);
            let bring = &|place: usize| {
                let secret = place.to_string().repeat(1_000 * (place + 1));
                start.wait();
                (write_once(&file, secret.as_bytes()), secret)
            };
            let brought: Vec<_> = std::thread::scope(|scope| {
                let running: Vec<_> = (0..AT_ONCE)
                    .map(|place| scope.spawn(move || bring(place)))
                    .collect();
                running
                    .into_iter()
                    .map(|one| one.join().expect("no panic"))
                    .collect()
            });
            let first: Vec<&String> = brought
                .iter()
                .filter(|(written, _)| matches!(written, Ok(Written::New)))
                .map(|(_, secret)| secret)
                .collect();
            let others = brought
                .iter()
                .filter(|(written, _)| matches!(written, Ok(Written::Another)))
                .count();
            assert_eq!((first.len(), others), (1, AT_ONCE - 1));
            let kept = std::fs::read_to_string(&file).expect("written");
            assert_eq!(kept.trim_end(), first[0]);
            let left = std::fs::read_dir(dir.path()).expect("a directory").count();
            assert_eq!(left, 1, "nothing else is left");
        }
    }
}
