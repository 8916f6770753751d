//! A vendor that asks whether the URL is its own: it gets its answer, and nothing else happens. One that brings the
//! secret it has chosen is believed once: the first secret is written to the source's file, and no other one after it.

use super::Receive;
use super::rejection::Rejection;
use super::source::{Proof, Source};
use crate::http::Answer;
use crate::verify::{HandshakeAnswer, Refused, Request};
use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts};
use http_body_util::Full;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The answer of the source's rules to this request; none if it is no handshake. A rule that asks for a proof answers
/// nobody without one, and what lacks the thing that is to be answered is refused like a wrong signature.
pub(super) async fn answer(
    receive: &Receive,
    source: &Source,
    proof: &Proof,
    head: &Parts,
    body: &Bytes,
    now_ms: u64,
) -> Result<Option<HandshakeAnswer>, Rejection> {
    let request = Request {
        method: &head.method,
        query: head.uri.query(),
        headers: &head.headers,
        body,
    };
    let Some(rule) = proof.handshakes.rule(request) else {
        return Ok(None);
    };
    if rule.verified {
        proof.verifier.verify(
            &head.method,
            head.uri.query(),
            head.headers.clone(),
            body.clone(),
            now_ms,
        )?;
    }
    let answer = proof.handshakes.answer(rule, request);
    let answer = answer.ok_or(Refused::Bad)?;
    if let Some(file) = &source.config.learn_to
        && let Some(secret) = proof.handshakes.brought(rule, request)
    {
        learn(receive, source, file.clone(), secret).await?;
    }
    tracing::info!(source = %source.config.name, "handshake answered");
    Ok(Some(answer))
}

/// Keeps the secret that a vendor brings.
async fn learn(
    receive: &Receive,
    source: &Source,
    file: PathBuf,
    secret: Zeroizing<Vec<u8>>,
) -> Result<(), Rejection> {
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
            tracing::warn!(
                source = %source.config.name,
                file = name,
                "a handshake brought another secret than the one that is known; remove the file to take a new one"
            );
            Err(Refused::Bad.into())
        }
        Err(error) => {
            tracing::error!(source = %source.config.name, file = name, %error, "cannot write the secret of a handshake");
            Err(crate::store::NotStored::Unavailable.into())
        }
    }
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
    let mut whole = file.as_os_str().to_owned();
    whole.push(".new");
    let whole = PathBuf::from(whole);
    if file.try_exists()? {
        return same(file, secret);
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&whole)?;
    new.write_all(secret)?;
    new.write_all(b"\n")?;
    new.sync_all()?;
    // Fails if another handshake was first.
    let linked = std::fs::hard_link(&whole, file);
    std::fs::remove_file(&whole)?;
    match linked {
        Ok(()) => {
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
                .chain(methods.iter().map(http::Method::as_str))
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
}
