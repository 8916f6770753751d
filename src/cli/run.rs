//! `hookgate run`: from arguments to a gateway that serves until it is told to stop.

use super::{Failure, one_source::OneSource, origin, runtime};
use crate::{
    config::{Config, load::Notes},
    gateway::{Basis, Gateway, OpenError, Reading, Reload},
};
use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    path::PathBuf,
    task::Poll,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Runs the gateway: with a configuration file, or with one source spelled out here.\n\n\
SIGTERM and SIGINT start an orderly stop as `shutdown` configures it, which ends with exit code 0. A second \
signal ends the process at once, with 128 and the signal's number (143, 130): what was acknowledged is \
durable by then, what was not will be sent again.\n\n\
SIGHUP, POST /-/reload on the admin side, and a change of the configuration file or of any file that it names \
(`reload.watch`) have all of them read anew, that of --env-file among them. All of it is used or nothing; what \
runs is not interrupted. What only a restart applies is named, such as `listen` and `store.path`.";

const EXAMPLES: &str = "\
Examples:
  hookgate run
  hookgate run -c /etc/hookgate/hookgate.yaml
  hookgate run --env-file secrets.env
  HOOKGATE_SECRET=... hookgate run --provider chatmefy --forward-to http://127.0.0.1:3000/webhooks
  hookgate run --provider chatplugify --header X-Token --secret-file token --forward-to http://app/";

/// Options of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: origin::ConfigFile,
    #[arg(
        long,
        help = "Run one source with this preset, without a file; its secret comes from HOOKGATE_SECRET",
        value_name = "NAME",
        value_parser = origin::ProviderName,
        hide_possible_values = true,
        requires = "forward_to",
        conflicts_with = "file"
    )]
    provider: Option<String>,
    /// Where its events go
    #[arg(long, value_name = "URL", requires = "provider", value_parser = origin::app_url)]
    forward_to: Option<String>,
    /// The header that carries its signature or token, where the preset names none or another
    #[arg(long, value_name = "NAME", requires = "provider", value_parser = origin::header_name)]
    header: Option<String>,
    /// Where it is received, such as 127.0.0.1:8080 or :8080 [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS", requires = "provider", value_parser = origin::listener)]
    listen: Option<SocketAddr>,
    #[arg(
        long,
        help = "The file that holds its secret, instead of HOOKGATE_SECRET",
        value_name = "FILE",
        requires = "provider"
    )]
    secret_file: Option<PathBuf>,
    /// The URL that you gave the vendor, which some of them sign
    #[arg(long, value_name = "URL", requires = "provider", value_parser = origin::public_url)]
    public_url: Option<String>,
    /// A text that the preset asks for, such as a token: NAME=TEXT; may be repeated
    #[arg(long = "param", value_name = "NAME=TEXT", requires = "provider", value_parser = origin::param)]
    params: Vec<(String, String)>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (basis, notes, config) = configured(args)?;
    raise_open_files();
    write_no_core();
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(config, basis, notes));
    runtime.shutdown_timeout(LEFT_BEHIND_WITHIN);
    ended
}

/// How long threads that nobody waits for any more may hold up the end: a name that is being looked up cannot be
/// interrupted, and the system's resolver may take half a minute over it.
const LEFT_BEHIND_WITHIN: Duration = Duration::from_secs(1);

/// A core file would hold every secret. (The hard limit stays: whoever debugs may raise the soft one again.)
fn write_no_core() {
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::warn!(%error, "cannot switch core files off");
    }
}

/// The configuration, where it is read anew, and what was read for it.
fn configured(args: &Args) -> Result<(Basis, Notes, Config), Failure> {
    let env_file = args.config.env_file.clone();
    let (basis, notes, (config, warnings)) = if let (Some(provider), Some(forward_to)) =
        (&args.provider, &args.forward_to)
    {
        let source = OneSource {
            provider,
            forward_to,
            header: args.header.as_deref(),
            listen: args.listen.map(|address| address.to_string()),
            secret_file: args.secret_file.as_deref(),
            public_url: args.public_url.as_deref(),
            params: &args.params,
        };
        for param in source.unset_params()? {
            tracing::warn!(
                "{provider} is not answered when it asks whether the URL is yours: add --param {param}=TEXT"
            );
        }
        let origin = source.origin(&args.config.environment()?)?;
        let basis = Basis { origin, env_file };
        let Reading { result, notes } = basis.read();
        let loaded = source.in_its_words(result)?;
        (basis, notes, loaded)
    } else {
        let origin = args.config.find()?;
        let basis = Basis { origin, env_file };
        let Reading { result, notes } = basis.read();
        (basis, notes, result.map_err(Failure::Config)?)
    };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok((basis, notes, config))
}

/// Raises the soft limit of open files to the hard one: the soft one is often 1024, for programs that use
/// `select`, and each connection is a file.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn serve(config: Config, basis: Basis, notes: Notes) -> Result<(), Failure> {
    // Before anything is opened: a signal during recovery has to stop the gateway as well.
    let stop = on_signal(&[SignalKind::terminate(), SignalKind::interrupt()])?;
    let hangups = listen(SignalKind::hangup())?;
    let sources = names(&config);
    let gateway = Gateway::open(config).await.map_err(not_opened)?;
    let reload = Reload::new(gateway.running(), basis, notes);
    let reloading = tokio::spawn(reload.serve(hangups));
    tracing::info!(
        listen = gateway.public_places(),
        admin = %gateway.admin_addr(),
        sources,
        version = env!("CARGO_PKG_VERSION"),
        "hookgate is listening"
    );
    gateway
        .run(stop)
        .await
        .map_err(|poisoned| Failure::Store(poisoned.into()))?;
    reloading.abort();
    tracing::info!("hookgate has stopped");
    Ok(())
}

fn names(config: &Config) -> String {
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    names.join(" ")
}

/// A store is told apart from an address that is taken: only the first needs a look at the disk.
pub(super) fn not_opened(error: OpenError) -> Failure {
    match error {
        OpenError::Store(_) => Failure::Store(error.into()),
        OpenError::Bind(_) => Failure::Failed(error.into()),
    }
}

/// Resolves at the first signal of these kinds. The second one ends the process.
pub(super) fn on_signal(
    kinds: &[SignalKind],
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let mut signals = Vec::new();
    for kind in kinds {
        signals.push((*kind, listen(*kind)?));
    }
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let first = any(&mut signals).await;
        tracing::info!(
            signal = name(first),
            "stopping; a second signal ends at once"
        );
        // The gateway may have ended by itself: then nobody has to be told.
        let _ = stop.send(());
        let second = any(&mut signals).await;
        tracing::warn!(signal = name(second), "ended by a second signal");
        std::process::exit(128 + second.as_raw_value());
    });
    Ok(async {
        // The task that tells lives as long as the runtime.
        let _ = stopped.await;
    })
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    Ok(signal(kind).context("cannot listen for signals")?)
}

/// The kind of the next signal.
async fn any(signals: &mut [(SignalKind, Signal)]) -> SignalKind {
    poll_fn(|cx| {
        let came = signals
            .iter_mut()
            .find_map(|(kind, signal)| signal.poll_recv(cx).is_ready().then_some(*kind));
        came.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn name(kind: SignalKind) -> &'static str {
    match kind {
        kind if kind == SignalKind::terminate() => "SIGTERM",
        kind if kind == SignalKind::hangup() => "SIGHUP",
        _ => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::listen::BindError;
    use std::io;

    #[test]
    fn the_soft_limit_of_open_files_reaches_the_hard_one() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn an_address_that_is_taken_is_no_trouble_of_the_store() {
        let taken = OpenError::Bind(BindError::System {
            place: "127.0.0.1:8080".to_owned(),
            source: io::ErrorKind::AddrInUse.into(),
        });
        assert!(matches!(not_opened(taken), Failure::Failed(_)));
        let locked = OpenError::Store(crate::store::OpenError::Locked {
            path: "data".into(),
        });
        assert!(matches!(not_opened(locked), Failure::Store(_)));
    }
}
