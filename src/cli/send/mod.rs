//! `hookgate send`: plays the vendor, once or as a load run.

mod config;
mod fresh;
mod generic;
mod handshake;
mod key;
mod load;
mod needs;
mod post;
mod samples;
mod tamper;
mod vendor;

pub(super) use post::{Answered, Post};
pub(super) use vendor::{Script, Vendor};

use super::{Failure, origin, print, runtime};
use crate::{config::HEADER_VALUE, http::client::Reply};
use anyhow::Context as _;
use bytes::Bytes;
use handshake::Asked;
use http::{HeaderValue, StatusCode, Uri};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Plays the vendor: sends its sample payload with its headers, signed as it signs with the source's first \
secret, and prints the answer. Each event gets a fresh id and time.\n\n\
SOURCE is a source of the configuration. Without a configuration file, and with --to and HOOKGATE_SECRET, it \
is the name of a preset. A source without samples gets a small JSON body in which it finds its event id and \
type, or the body of --data.\n\n\
What is signed is the source's public_url, wherever it is sent to. A vendor with a private key is played with a pair \
of your own (--signing-key), whose public half is the source's secret; without one, the way to make it is shown.\n\n\
Exit code 0 if every answer was 2xx, with --tamper if every answer was 401, with --handshake if the vendor \
would be content; 1 otherwise.";

const EXAMPLES: &str = "\
Examples:
  hookgate send chatmefy
  hookgate send vowchat --event conversation_status_changed --repeat
  hookgate send chatsvia --tamper                          refused, or something is wrong
  hookgate send erp --data order.json
  hookgate send slack --handshake                          asks whether the URL is its own
  hookgate send discord --signing-key signing.pem
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
    #[arg(long, value_name = "URL", value_parser = post::destination)]
    to: Option<Uri>,
    /// The event type [default: the vendor's first]
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Send this file's bytes (`-`: stdin) instead of a sample; every event has the same body then
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The content type of --data [default: that of the source's sample, else a form or JSON, whichever the source
    /// looks into]
    #[arg(long, value_name = "TYPE", requires = "data", value_parser = content_type)]
    content_type: Option<HeaderValue>,
    /// The header of signature or token, for a preset without a configuration file
    #[arg(long, value_name = "NAME", value_parser = origin::header_name)]
    header: Option<String>,
    /// The URL that the vendor was given, for a preset without a configuration file that signs it [default: where it is
    /// sent to]
    #[arg(long, value_name = "URL", value_parser = origin::public_url)]
    public_url: Option<String>,
    #[arg(
        long,
        help = "The vendor's private key, where it signs with one, instead of HOOKGATE_SIGNING_KEY",
        value_name = "FILE"
    )]
    signing_key: Option<PathBuf>,
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
    /// Forge: change the body after signing (or the signature or token, where it does not cover the body)
    #[arg(long)]
    tamper: bool,
    /// Ask as the vendor does whether the URL is its own, instead of sending an event
    #[arg(long, conflicts_with_all = ["event", "data", "count", "tamper", "repeat"])]
    handshake: bool,
    /// Send the same bytes twice, as a vendor that retries
    #[arg(long, conflicts_with = "count")]
    repeat: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let environment = args.config.environment()?;
    let config = config::of(args, &environment)?;
    let source = config::source(&config, &args.source)?;
    let to = match &args.to {
        Some(to) => post::with_path(to, &source.path)?,
        None => config::address(&config, source)?,
    };
    let signing_key = key::read(args.signing_key.as_deref(), &environment)?;
    let data = args.data.as_deref().map(read).transpose()?;
    let script = Script {
        event: args.event.as_deref(),
        data: data.map(|data| (data, args.content_type.clone())),
        signing_key: signing_key.as_ref().map(|key| key.as_slice()),
        query: to.query(),
    };
    let vendor = if args.handshake {
        Vendor::asking(source, script)?
    } else {
        Vendor::new(source, script)?
    };
    let post = Post::new(&to, source.sender_timeout);
    match args.count {
        None if args.handshake => runtime()?.block_on(ask(&vendor, &post, &to)),
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

/// Reads `--content-type`.
fn content_type(text: &str) -> Result<HeaderValue, String> {
    HEADER_VALUE.option(text)
}

/// Reads `--rate`: at most a million a second, so that the time between two events is at least a microsecond.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("accepted: events a second, from 0.001 to 1000000".into()),
    }
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.into())
}

async fn once(args: &Args, vendor: &Vendor, post: &Post, to: &Uri) -> Result<(), Failure> {
    let mut request = vendor.next()?;
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

/// Plays the vendor's question whether the URL is its own.
async fn ask(vendor: &Vendor, post: &Post, to: &Uri) -> Result<(), Failure> {
    let asked = Asked::new(vendor)?;
    print(&format!("{} {to}  handshake\n", asked.request.method))?;
    let answered = post.send(asked.request.clone()).await;
    let answered = answered.map_err(anyhow::Error::new)?;
    print(&show(&answered))?;
    if asked.is_answered(&answered.reply) {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!(
        asked.complaint(&answered.reply)
    )))
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
mod tests;

#[cfg(test)]
mod answers {
    use super::*;
    use http::HeaderMap;
    use std::time::Duration;

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
