//! `hookgate healthcheck`: one question to `/readyz`, answered by an exit code of 0 or 1 and nothing else,
//! since container engines reserve the others.

use super::{Failure, origin, print, runtime};
use crate::config::{
    environment::Environment,
    load::load,
    load::{NotFound, Options, Origin, find},
};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, Uri, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpStream;

/// A gateway that does not answer within this time is not ready. Below the 30 s that engines give a check.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer that are looked at; ours is one short line.
const ANSWER_BYTES: usize = 4096;

/// The admin address of a gateway that was not configured otherwise.
pub(super) const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9444);

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Asks a running gateway whether it is ready: exit code 0 if /readyz answers 200, 1 with a line why if not.\n\n\
The admin address comes from the configuration; without one it is 127.0.0.1:9444. Secrets need not be set.";

const EXAMPLES: &str = "\
Examples:
  hookgate healthcheck
  hookgate healthcheck -c /etc/hookgate/hookgate.yaml
  hookgate healthcheck --url http://127.0.0.1:9444/readyz";

/// Options of `healthcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: origin::ConfigFile,
    /// Ask this URL (http only)
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "env_file"])]
    url: Option<Uri>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => configured(args, &args.config.environment()?)?,
    };
    runtime()?.block_on(async {
        tokio::time::timeout(PATIENCE, ask(&url))
            .await
            .with_context(|| format!("{url}: no answer within {PATIENCE:?}"))?
            .with_context(|| url.to_string())
    })?;
    print("ready\n")
}

fn configured(args: &Args, environment: &Environment) -> anyhow::Result<Uri> {
    let admin = match find(args.config.file.as_deref()) {
        Ok(origin) => admin_of(&origin, environment)?,
        Err(NotFound { .. }) => DEFAULT_ADMIN,
    };
    ensure!(
        admin.port() != 0,
        "admin.listen is {admin}, and port 0 is another free port at every start; \
         give it a fixed one, or name the one in use by --url http://ADDRESS/readyz"
    );
    Ok(format!("http://{}/readyz", reachable(admin)).parse()?)
}

fn admin_of(origin: &Origin, environment: &Environment) -> anyhow::Result<SocketAddr> {
    match load(origin, environment, Options { allow_unset: true }) {
        Ok((config, _)) => Ok(config.admin.listen),
        Err(problems) => bail!(
            "{}",
            problems
                .first()
                .map_or_else(String::new, ToString::to_string)
        ),
    }
}

/// An address to connect to: a listener on every interface is reached on loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(url: &Uri) -> anyhow::Result<()> {
    ensure!(
        url.scheme_str() == Some("http"),
        "only http is asked; the admin side has no TLS"
    );
    let host = url.host().context("no host")?;
    let port = url.port_u16().unwrap_or(80);
    // Brackets belong to the URL, not to the address.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port))
        .await
        .context("cannot connect")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES)
            .collect()
            .await;
        anyhow::Ok((status, body.map(http_body_util::Collected::to_bytes)))
    };
    tokio::pin!(exchange, connection);
    let (status, body) = tokio::select! {
        answer = &mut exchange => answer?,
        ended = &mut connection => {
            ended?;
            exchange.await?
        }
    };
    if status.is_success() {
        return Ok(());
    }
    let body = body.unwrap_or_default();
    bail!(
        "not ready: {status} {}",
        String::from_utf8_lossy(&body).trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpSocket},
    };

    async fn answered(answer: &'static str) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/readyz", listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.expect("a head");
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let outcome = ask(&url.parse().expect("a URL")).await;
        let head = server.await.expect("served");
        assert!(head.starts_with("GET /readyz HTTP/1.1\r\n"), "{head}");
        outcome
    }

    #[tokio::test]
    async fn ready_or_why_not() {
        answered("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready")
            .await
            .expect("ready");
        let error =
            answered("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nstarting\n")
                .await
                .expect_err("not ready");
        assert_eq!(
            format!("{error:#}"),
            "not ready: 503 Service Unavailable starting"
        );
        answered("SSH-2.0-OpenSSH\r\n").await.expect_err("no HTTP");
    }

    #[tokio::test]
    async fn nobody_there() {
        // Bound, so that nobody else gets the port, and never listened on.
        let silent = TcpSocket::new_v4().expect("a socket");
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        silent.bind(loopback).expect("loopback");
        let address = silent.local_addr().expect("bound");
        let url = format!("http://{address}/readyz").parse().expect("a URL");
        let error = ask(&url).await.expect_err("nobody listens");
        assert!(
            format!("{error:#}").starts_with("cannot connect: "),
            "{error:#}"
        );
        let tls = "https://127.0.0.1/readyz".parse().expect("a URL");
        ask(&tls).await.expect_err("no TLS here");
    }

    #[test]
    fn a_port_that_nobody_knows_is_not_asked() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.yaml");
        let asked = |port: u16| {
            let source = "sources: { a: { verify: none, forward: 'http://127.0.0.1:3000/' } }";
            let text = format!("admin: {{ listen: 0.0.0.0:{port} }}\n{source}\n");
            std::fs::write(&file, text).expect("written");
            let args = Args {
                config: origin::ConfigFile {
                    file: Some(file.clone()),
                    env_file: None,
                },
                url: None,
            };
            configured(&args, &Environment::default())
        };
        let url = asked(9000).expect("a port to ask");
        assert_eq!(url, *"http://127.0.0.1:9000/readyz");
        let error = asked(0).expect_err("no port to ask");
        assert!(error.to_string().contains("port 0"), "{error}");
    }

    #[test]
    fn every_interface_is_reached_on_loopback() {
        for (listen, connect) in [
            ("0.0.0.0:9444", "127.0.0.1:9444"),
            ("[::]:9444", "[::1]:9444"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            let listen: SocketAddr = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), connect);
        }
    }
}
