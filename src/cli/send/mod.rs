//! `hookgate send`: plays the vendor, once or as a load run.

mod generic;
mod load;
mod samples;
mod vendor;

pub(super) use vendor::{Request, Vendor};

use super::{
    Failure,
    healthcheck::reachable,
    origin::{self, OneSource},
    print, runtime,
};
use crate::{
    config::{
        Config, Source,
        load::{Options, Origin, find},
        problem::Problem,
    },
    http::client::{ANSWER_BYTES, Client, ClientError, Reply},
};
use anyhow::Context as _;
use bytes::Bytes;
use http::{StatusCode, Uri};
use std::{io::Read as _, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Plays the vendor: sends its sample payload with its headers, signed as it signs with the source's first \
secret, and prints the answer. Each event gets a fresh id and time.\n\n\
SOURCE is a source of the configuration. Without a configuration file, and with --to and HOOKGATE_SECRET, it \
is the name of a preset. A source without samples gets a small JSON body in which it finds its event id and \
type, or the body of --data.\n\n\
Exit code 0 if every answer was 2xx, with --tamper if every answer was 401; 1 otherwise.";

const EXAMPLES: &str = "\
Examples:
  hookgate send chatmefy
  hookgate send vowchat --event conversation_status_changed --repeat
  hookgate send chatsvia --tamper                          refused, or something is wrong
  hookgate send erp --data order.json
  hookgate send chatmefy --count 100000 --connections 64   as fast as it goes
  hookgate send chatmefy --count 10000 --rate 500          500 a second
  HOOKGATE_SECRET=... hookgate send chatmefy --to http://127.0.0.1:8080/hooks/chatmefy";

/// Options of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The source to play: one of the configuration, or the name of a preset
    source: String,
    #[command(flatten)]
    config: origin::ConfigFile,
    /// Send there instead of to the configured address; without a path, the source's is added
    #[arg(long, value_name = "URL", value_parser = destination)]
    to: Option<Uri>,
    /// The event type [default: the vendor's first]
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Send this file's bytes (`-`: stdin) instead of a sample; every event has the same body then
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The header of signature or token, for a preset without a configuration file
    #[arg(long, value_name = "NAME", value_parser = origin::header_name)]
    header: Option<String>,
    /// Send that many events as a load run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Events a second, on schedule whether or not answers come [default: as fast as answers come]
    #[arg(long, value_name = "R", requires = "count", value_parser = rate)]
    rate: Option<f64>,
    /// Connections of the load run
    #[arg(long, value_name = "C", requires = "count", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Forge: change the body after signing (or the token, where one proves the sender)
    #[arg(long)]
    tamper: bool,
    /// Send the same bytes twice, as a vendor that retries
    #[arg(long, conflicts_with = "count")]
    repeat: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = configured(args)?;
    let source = find_source(&config, &args.source)?;
    let to = match &args.to {
        Some(to) => with_path(to, &source.path)?,
        None => address(&config, source)?,
    };
    let data = args.data.as_deref().map(read).transpose()?;
    let vendor = Vendor::new(source, args.event.as_deref(), data)?;
    let post = Post {
        client: Client::new(&to),
        timeout: source.sender_timeout,
    };
    match args.count {
        None => runtime()?.block_on(once(args, &vendor, &post, &to)),
        Some(count) => {
            let plan = load::Plan {
                count,
                rate: args.rate,
                connections: args.connections,
                forged: args.tamper,
            };
            runtime()?.block_on(load::run(plan, vendor, post, &to))
        }
    }
}

/// What to do where there is no file.
const WITHOUT_A_FILE: &str = "\
Name a file with -c FILE, or play a preset without one, with the secret of the gateway that it goes to:
  HOOKGATE_SECRET=... hookgate send NAME --to http://127.0.0.1:8080/hooks/NAME";

/// The configuration file, or a preset where there is none.
fn configured(args: &Args) -> Result<Config, Failure> {
    // Warnings are `check`'s and `run`'s: they say nothing about sending.
    match (find(args.config.file.as_deref()), &args.to) {
        (Ok(origin), _) => of_file(&origin, args),
        (Err(_), Some(to)) if is_preset(&args.source) => OneSource {
            provider: &args.source,
            forward_to: &to.to_string(),
            header: args.header.as_deref(),
            listen: None,
            secret_file: None,
        }
        .load()
        .map(|(config, _)| config),
        (Err(none), _) => Err(Failure::NoConfig(none, WITHOUT_A_FILE)),
    }
}

/// The file, as far as the source that is played needs it: a secret of another source that is not set is
/// missed by the gateway, not here.
fn of_file(origin: &Origin, args: &Args) -> Result<Config, Failure> {
    if let (Some(_), Origin::File(file)) = (&args.header, origin) {
        return Err(Failure::Usage(format!(
            "--header is for a preset without a file, but {} is there and says what {} sends; set the header in \
             it, under verify",
            file.display(),
            args.source
        )));
    }
    let problems = match origin::load(origin, Options::default()) {
        Err(Failure::Config(problems)) => problems,
        other => return other.map(|(config, _)| config),
    };
    // What is wrong in any case comes first.
    let (config, _) = origin::load(origin, Options { allow_unset: true })?;
    let source = find_source(&config, &args.source)?;
    let missed: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| is_needed(&problem.key, &source.name, args.to.is_some()))
        .collect();
    if missed.is_empty() {
        Ok(config)
    } else {
        Err(Failure::Config(missed))
    }
}

/// The parts of a source that make a request; it is signed with the first secret.
const PLAYED: [&str; 7] = [
    "provider",
    "path",
    "verify",
    "secret",
    "secrets[0]",
    "event",
    "sender_timeout",
];

/// Whether what stands at this key takes part when `source` is played.
fn is_needed(key: &str, source: &str, to_is_given: bool) -> bool {
    let below = key
        .strip_prefix("sources.")
        .and_then(|key| key.strip_prefix(source)?.strip_prefix('.'));
    match below {
        Some(below) => PLAYED.contains(&below.split('.').next().unwrap_or_default()),
        None => key == "listen" && !to_is_given,
    }
}

fn is_preset(name: &str) -> bool {
    let mut presets = crate::config::presets().iter();
    presets.any(|(known, _)| *known == name)
}

fn find_source<'a>(config: &'a Config, name: &str) -> Result<&'a Source, Failure> {
    let found = config.sources.iter().find(|source| *source.name == *name);
    found.ok_or_else(|| {
        let known: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
        Failure::Usage(format!(
            "no source {name:?} in the configuration; it has: {}",
            known.join(", ")
        ))
    })
}

fn address(config: &Config, source: &Source) -> Result<Uri, Failure> {
    if config.listen.port() == 0 {
        return Err(Failure::Usage(format!(
            "listen is {}, and port 0 is another free port at every start; name the one in use by \
             --to http://ADDRESS",
            config.listen
        )));
    }
    let text = format!("http://{}{}", reachable(config.listen), source.path);
    let uri = text.parse().with_context(|| text.clone())?;
    Ok(uri)
}

/// `to` as it is, or with the source's path where it has none.
fn with_path(to: &Uri, path: &str) -> Result<Uri, Failure> {
    if to.path() != "/" || to.query().is_some() {
        return Ok(to.clone());
    }
    let text = format!("{}{path}", to.to_string().trim_end_matches('/'));
    let uri = text.parse().with_context(|| text.clone())?;
    Ok(uri)
}

/// Reads `--to`.
fn destination(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err("accepted: a URL that starts with http:// or https://".into()),
    }
}

/// Reads `--rate`: at most a million a second, so that the time between two events is at least a microsecond.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("accepted: events a second, from 0.001 to 1000000".into()),
    }
}

fn read(path: &std::path::Path) -> Result<Bytes, Failure> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.into())
}

/// Posts as a vendor: with its patience.
#[derive(Debug)]
pub(super) struct Post {
    /// Of the destination.
    pub(super) client: Client,
    /// How long the vendor waits.
    pub(super) timeout: Duration,
}

/// Why the vendor got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The connection failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The vendor would have given up.
    #[error("no answer within {0:?}, the time this sender waits")]
    Timeout(Duration),
}

/// What came back, and how long it took.
#[derive(Debug)]
pub(super) struct Answered {
    /// Status, headers, body.
    pub(super) reply: Reply,
    /// From before the connection was taken to the end of the answer.
    pub(super) took: Duration,
}

impl Post {
    /// Sends one request and reads the answer.
    pub(super) async fn send(&self, request: Request) -> Result<Answered, NoAnswer> {
        let begun = Instant::now();
        let exchange = self
            .client
            .post(|| request.headers.clone(), &request.body, ANSWER_BYTES);
        let reply = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| NoAnswer::Timeout(self.timeout))??;
        Ok(Answered {
            reply,
            took: begun.elapsed(),
        })
    }
}

async fn once(args: &Args, vendor: &Vendor, post: &Post, to: &Uri) -> Result<(), Failure> {
    let mut request = vendor.next();
    if args.tamper {
        request = vendor.forge(request)?;
    }
    let event = vendor.event().unwrap_or("event of unknown type");
    print(&format!("POST {to}  {event}\n"))?;
    let mut as_expected = true;
    for _ in 0..=u8::from(args.repeat) {
        let answered = post
            .send(request.clone())
            .await
            .map_err(anyhow::Error::new)?;
        as_expected &= expected(answered.reply.status, args.tamper);
        print(&show(&answered))?;
    }
    if as_expected {
        Ok(())
    } else if args.tamper {
        Err(Failure::Failed(anyhow::anyhow!(
            "a forged request must be refused with 401"
        )))
    } else {
        Err(Failure::Shown)
    }
}

/// Whether an answer is the one that the gateway promises.
fn expected(status: StatusCode, forged: bool) -> bool {
    if forged {
        status == StatusCode::UNAUTHORIZED
    } else {
        status.is_success()
    }
}

fn show(answered: &Answered) -> String {
    let Reply { status, body, .. } = &answered.reply;
    // Somebody else's text must not steer the terminal.
    let body = String::from_utf8_lossy(body).replace(
        |c: char| c.is_control() && c != '\n' && c != '\t',
        "\u{fffd}",
    );
    let millis = answered.took.as_secs_f64() * 1e3;
    format!("{status} in {millis:.1} ms\n{}\n", body.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn uri(text: &str) -> Uri {
        destination(text).expect("a URL")
    }

    #[test]
    fn a_destination_without_a_path_gets_the_source_s() {
        for (to, whole) in [
            ("http://a:1", "http://a:1/hooks/erp"),
            ("http://a:1/", "http://a:1/hooks/erp"),
            ("https://a/in", "https://a/in"),
            ("http://a/?k=v", "http://a/?k=v"),
        ] {
            let uri = with_path(&uri(to), "/hooks/erp").expect("a URL");
            assert_eq!(uri, *whole, "{to}");
        }
        for bad in ["/hooks/erp", "127.0.0.1:8080", "ftp://a/", "http://"] {
            assert!(destination(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_played_is_needed() {
        let cases = [
            ("sources.erp.secret", true),
            ("sources.erp.secrets[0].value", true),
            ("sources.erp.secrets[1].value", false),
            ("sources.erp.verify.hmac.header", true),
            ("sources.erp.forward[0].to", false),
            ("sources.erp-two.secret", false),
            ("sources.other.secret", false),
            ("admin.token", false),
            ("targets.erp.url", false),
        ];
        for (key, needed) in cases {
            assert_eq!(is_needed(key, "erp", false), needed, "{key}");
        }
        assert!(is_needed("listen", "erp", false));
        assert!(!is_needed("listen", "erp", true));
    }

    #[test]
    fn rates_are_positive_and_bounded() {
        for (text, value) in [("500", 500.0), ("0.5", 0.5), ("1e6", 1e6)] {
            assert_eq!(rate(text), Ok(value));
        }
        for bad in ["0", "-1", "NaN", "inf", "2e6", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn forged_requests_must_be_refused_and_others_taken() {
        let cases = [
            (200, false, true),
            (204, false, true),
            (302, false, false),
            (401, false, false),
            (503, false, false),
            (401, true, true),
            (200, true, false),
            (404, true, false),
        ];
        for (status, forged, as_promised) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(expected(status, forged), as_promised, "{status} {forged}");
        }
    }

    #[test]
    fn answers_are_shown_without_control_characters() {
        let answered = Answered {
            reply: Reply {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{\"received\":true}\x1b[31m\n\n"),
                truncated: false,
            },
            took: Duration::from_micros(1250),
        };
        assert_eq!(
            show(&answered),
            "200 OK in 1.2 ms\n{\"received\":true}\u{fffd}[31m\n"
        );
    }
}
