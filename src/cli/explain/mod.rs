//! `hookgate explain`: why a captured request is refused. The gateway's own verifier is asked, first about the request
//! as it is, then about what may have gone wrong with it. It prints no secret, and no signature that the request does
//! not have, so it can't be used to sign.

mod bodies;
mod capture;
mod causes;
mod entry;
mod every;
mod fix;
mod forms;
mod handshakes;
mod har;
mod hints;
mod json_bodies;
mod json_text;
mod keys;
mod readings;
mod reason;
mod repeated;
mod report;
mod search;
mod show;
mod steps;
mod subject;
mod texts;
mod times;
mod tokens;
mod trial;
mod vendors;

#[cfg(test)]
mod tests;

use super::{Failure, origin, print};
use crate::clock;
use anyhow::Context as _;
use capture::{BadCapture, Capture};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Says why a captured request is refused, and what would make it pass.\n\n\
The capture is a raw HTTP/1.1 request (request line, headers, an empty line, the body; without a request line it is a \
POST to /) or a HAR file. It is held against the source that its path belongs to. Where it fails, what usually goes \
wrong is tried: other secrets of the configuration and other forms of them, other encodings, prefixes, hashes and \
headers, a body that was written anew, another public URL, other vendors' schemes.\n\n\
The first line says `passes` or `fails` and why. An old capture fails by its timestamp alone; --at signed takes the \
signed time as now.\n\n\
The secret of --provider and --all is that of HOOKGATE_SECRET, or in --secret-file.\n\n\
It never prints a secret, nor a signature that is not in the request: it can't be used to sign.";

const EXAMPLES: &str = "\
Examples:
  hookgate explain request.txt
  hookgate explain request.txt -c deploy/hookgate.yaml --source erp --at signed
  hookgate explain traffic.har --entry 3
  HOOKGATE_SECRET=... hookgate explain - --provider vowchat < request.txt
  HOOKGATE_SECRET=... hookgate explain request.txt --all          whose request is it?

Exit codes: 0 passes, 1 fails, 64 usage or no request in the file, 78 configuration.";

/// Bytes of a capture: above every limit on a body that is in use.
const CAPTURE_BYTES_MAX: u64 = 64 << 20;

/// Elements that are looked at where no configuration says how many: the default of `limits.signatures`.
const SIGNATURES_MAX: usize = 16;

/// Stands for the URL of a request that names no host.
const NO_URL: &str = "https://host.invalid/";

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The captured request or HAR file; - is stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    capture: PathBuf,
    #[command(flatten)]
    config: origin::ConfigFile,
    /// Hold it against this source [default: the one with the request's path, or the only one]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "all"])]
    source: Option<String>,
    /// Hold it against a preset without a configuration file, with its secret from the environment
    #[arg(long, value_name = "NAME", value_parser = origin::ProviderName, hide_possible_values = true,
          conflicts_with_all = ["file", "all"])]
    provider: Option<String>,
    /// Try every preset, with the secret from the environment
    #[arg(long, conflicts_with = "file")]
    all: bool,
    /// Take the secret of --provider or --all from this file
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The URL that the vendor was given, for --provider and --all [default: https, and the request's host and path]
    #[arg(long, value_name = "URL", value_parser = origin::app_url)]
    public_url: Option<String>,
    /// The header of signature or token, where it is not the preset's
    #[arg(long, value_name = "NAME", requires = "provider", value_parser = origin::header_name)]
    header: Option<String>,
    /// The entry of a HAR file, from 1 [default: the first POST]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    entry: Option<u32>,
    /// The time that counts as now: Unix seconds or milliseconds, RFC 3339, or `signed` for the request's own
    #[arg(long, value_name = "TIME", value_parser = at)]
    at: Option<At>,
}

/// What counts as now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The clock.
    Now,
    /// Unix milliseconds.
    Unix(u64),
    /// The signed timestamp.
    Signed,
}

/// Reads `--at`.
fn at(text: &str) -> Result<At, String> {
    if text == "signed" {
        return Ok(At::Signed);
    }
    times::read(text.as_bytes())
        .map(|(_, unix_ms)| At::Unix(unix_ms))
        .ok_or_else(|| "accepted: Unix seconds or milliseconds, RFC 3339, or signed".to_owned())
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if !args.all && args.provider.is_none() {
        let wanted = [
            (args.secret_file.is_some(), "--secret-file"),
            (args.public_url.is_some(), "--public-url"),
        ];
        if let Some((_, name)) = wanted.iter().find(|(given, _)| *given) {
            return Err(Failure::Usage(format!(
                "{name} is for --provider and --all; a source has its own in the configuration"
            )));
        }
    }
    let bytes = read(&args.capture)?;
    let capture = parse(&bytes, args.entry).map_err(|error| Failure::Usage(error.to_string()))?;
    let at = args.at.unwrap_or(At::Now);
    let now_ms = clock::wall_ms();
    let report = if args.all {
        let secret = subject::secret(args, &args.config.environment()?)?;
        every::report(&secret, args.public_url.as_deref(), &capture, at, now_ms)
    } else {
        let subject = subject::find(args, &capture)?;
        report::report(&subject, &capture, at, now_ms)
    };
    say(&report)
}

fn say(report: &report::Report) -> Result<(), Failure> {
    print(&report.text)?;
    if report.passes {
        Ok(())
    } else {
        Err(Failure::Shown)
    }
}

/// Says why a request that a gateway has kept is refused, by the configuration that is here, as of the time when it was
/// received.
pub(super) fn kept(
    raw: &[u8],
    config: &origin::ConfigFile,
    source: &str,
    received_at: &str,
) -> Result<(), Failure> {
    let capture = capture::raw(raw).map_err(|error| Failure::Usage(error.to_string()))?;
    let at = at(received_at).map_err(Failure::Usage)?;
    let args = Args {
        capture: PathBuf::new(),
        config: config.clone(),
        source: Some(source.to_owned()),
        provider: None,
        all: false,
        secret_file: None,
        public_url: None,
        header: None,
        entry: None,
        at: Some(at),
    };
    let subject = subject::find(&args, &capture)?;
    say(&report::report(&subject, &capture, at, clock::wall_ms()))
}

fn parse(bytes: &[u8], entry: Option<u32>) -> Result<Capture, BadCapture> {
    if har::is_har(bytes) {
        return har::read(bytes, entry.map(|entry| entry as usize));
    }
    if entry.is_some() {
        return Err(BadCapture::Har("--entry is for a HAR file".to_owned()));
    }
    capture::raw(bytes)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.take(CAPTURE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = if path.as_os_str() == "-" {
        read(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| read(&mut file))
    };
    let bytes = bytes
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|error| Failure::Usage(format!("{error:#}")))?;
    if bytes.len() as u64 > CAPTURE_BYTES_MAX {
        return Err(Failure::Usage(
            "the capture is larger than 64MiB".to_owned(),
        ));
    }
    Ok(bytes)
}
