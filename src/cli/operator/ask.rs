//! Finds a running gateway's admin API and asks it. Whatever goes wrong is said with what to do about it.

use crate::cli::{Failure, healthcheck, origin};
use crate::config::{
    Config,
    environment::Environment,
    load::{NotFound, Options, Origin, find},
};
use crate::http::client::{Client, ClientError, Limits, Reply};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Where the token comes from if no option and no file has it.
const TOKEN_VARIABLE: &str = "HOOKGATE_ADMIN_TOKEN";

/// Longer than the gateway itself takes for a call.
const PATIENCE: Duration = Duration::from_secs(70);

/// An admin side is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer: an event may have a body of many MiB, and base64 adds a third.
const ANSWER_BYTES: usize = 512 << 20;

/// What may stand in a path or a query as it is (RFC 3986, unreserved).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Which gateway is asked, and how its answers are shown.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Gateway {
    #[command(flatten)]
    pub(super) config: origin::ConfigFile,
    #[arg(
        long,
        help = "Admin side of the gateway, such as http://127.0.0.1:9444 [default: admin.listen of the configuration]",
        value_name = "URL",
        value_parser = admin_url
    )]
    admin: Option<Uri>,
    #[arg(
        long,
        help = "Token of the API; HOOKGATE_ADMIN_TOKEN is better, since others see command lines [default: admin.token]",
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// Print JSON as the API gives it; lists one object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// A gateway to ask.
#[derive(Debug)]
pub(in crate::cli) struct Ask {
    admin: Uri,
    token: Option<HeaderValue>,
    /// Where the address was found, for messages.
    found: String,
}

impl Gateway {
    /// Finds the gateway. Nothing is connected to yet.
    pub(in crate::cli) fn find(&self) -> Result<Ask, Failure> {
        let environment = self.config.environment()?;
        let origin = find(self.config.file.as_deref());
        let configured = match (&self.admin, origin) {
            // A file in a default place need not be of the gateway that is named.
            (Some(_), _) if self.config.file.is_none() => None,
            (_, Ok(origin)) => Some(configured(&origin, &environment)?),
            (_, Err(NotFound { .. })) => None,
        };
        let (admin, found) = match (&self.admin, &configured) {
            (Some(admin), _) => (admin.clone(), "--admin".to_owned()),
            (None, Some(configured)) => (configured.admin()?, configured.file.clone()),
            (None, None) => (
                uri(&format!("http://{}", healthcheck::DEFAULT_ADMIN))?,
                "the default; there is no configuration here".to_owned(),
            ),
        };
        let variable = || environment.variable(TOKEN_VARIABLE);
        let given = self
            .token
            .clone()
            .or_else(variable)
            .filter(|token| !token.is_empty());
        let token = match (given, configured) {
            (Some(given), _) => Some(bearer(given.as_bytes())?),
            (None, Some(configured)) => configured.token()?,
            (None, None) => None,
        };
        Ok(Ask {
            admin,
            token,
            found,
        })
    }
}

/// What a configuration says of its gateway.
struct Configured {
    config: Config,
    file: String,
    /// Its token needs something that is not set here.
    token_is_unset: bool,
}

/// Only `admin` matters: what else is not set here is the gateway's.
fn configured(origin: &Origin, environment: &Environment) -> Result<Configured, Failure> {
    let file = match origin {
        Origin::File(path) => path.clone(),
        Origin::Text { name, .. } => PathBuf::from(name),
    };
    let strict = origin::load(origin, environment, Options::default());
    let is_token = |key: &str| key.starts_with("admin.token");
    let (config, token_is_unset) = match strict {
        Ok((config, _)) => (config, false),
        Err(Failure::Config(problems)) => {
            let token_is_unset = problems.iter().any(|problem| is_token(&problem.key));
            let (config, _) = origin::load(origin, environment, Options { allow_unset: true })?;
            (config, token_is_unset)
        }
        Err(other) => return Err(other),
    };
    Ok(Configured {
        config,
        file: file.display().to_string(),
        token_is_unset,
    })
}

impl Configured {
    fn admin(&self) -> Result<Uri, Failure> {
        let listen = self.config.admin.listen;
        if listen.port() == 0 {
            return Err(Failure::Usage(format!(
                "admin.listen is {listen}, and port 0 is another free port at every start; name the one in use by \
                 --admin http://ADDRESS"
            )));
        }
        uri(&format!("http://{}", healthcheck::reachable(listen)))
    }

    fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        if self.token_is_unset {
            return Err(Failure::Failed(anyhow!(
                "admin.token in {} takes a variable that is not set here; set it, or {TOKEN_VARIABLE}, or give --token",
                self.file
            )));
        }
        let token = self.config.admin.token.as_ref();
        token.map(|token| bearer(token.expose())).transpose()
    }
}

fn bearer(token: &[u8]) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat());
    let mut value = value.map_err(|_| {
        Failure::Usage("the token can't stand in a header; use printable ASCII".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn uri(text: &str) -> Result<Uri, Failure> {
    let uri = text.parse().with_context(|| text.to_owned())?;
    Ok(uri)
}

/// Reads `--admin`.
fn admin_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if known && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none() {
        Ok(uri)
    } else {
        Err("accepted: a URL such as http://127.0.0.1:9444".to_owned())
    }
}

/// A path of the API, with what stands in the place of its braces.
pub(in crate::cli) fn path(segments: &[&str]) -> String {
    let segment = |segment: &&str| format!("/{}", utf8_percent_encode(segment, KEPT));
    segments.iter().map(segment).collect()
}

impl Ask {
    /// GETs `path` (below `/api/v1`) with these parameters.
    pub(in crate::cli) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value, Failure> {
        let pair =
            |(name, value): &(&str, String)| format!("{name}={}", utf8_percent_encode(value, KEPT));
        let query: Vec<String> = query.iter().map(pair).collect();
        let query = query.join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        self.ask(&Method::GET, &format!("{path}{mark}{query}"), Bytes::new())
            .await
    }

    /// POSTs `body` to `path`.
    pub(in crate::cli) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Method::POST, path, body.to_string().into()).await
    }

    async fn ask(&self, method: &Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let below = self.admin.path().trim_end_matches('/');
        let target: Uri = format!("{below}/api/v1{path}")
            .parse()
            .context("the address of the API")?;
        // One connection a call: nothing is sent twice because a kept one had died.
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT,
            connection_max_age: Duration::ZERO,
        };
        let client = Client::new(&self.admin, limits);
        let headers = || self.headers(&body);
        let exchange = client.ask(method, &target, headers, &body, ANSWER_BYTES);
        let reply = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| anyhow!("{}: no answer within {PATIENCE:?}", self.admin))?
            .map_err(|error| self.unreached(error))?;
        self.read(&reply)
    }

    fn headers(&self, body: &Bytes) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        headers
    }

    fn unreached(&self, error: ClientError) -> Failure {
        let hint = match &error {
            ClientError::Connect { .. } => format!(
                "; is the gateway running? (address from {}; --admin URL names another)",
                self.found
            ),
            _ => String::new(),
        };
        let error = anyhow::Error::new(error);
        Failure::Failed(anyhow!("{error:#}{hint}"))
    }

    fn read(&self, reply: &Reply) -> Result<Value, Failure> {
        let json: Option<Value> = serde_json::from_slice(&reply.body).ok();
        if reply.status.is_success()
            && let Some(json) = json
        {
            return Ok(json);
        }
        let said = json.as_ref().and_then(|json| json["error"].as_str());
        let error = match (reply.status, said) {
            (StatusCode::UNAUTHORIZED, Some(_)) if self.token.is_none() => anyhow!(
                "the gateway at {} asks for its token: set {TOKEN_VARIABLE}, or give --token",
                self.admin
            ),
            (StatusCode::UNAUTHORIZED, Some(_)) => anyhow!(
                "the gateway at {} has another token than the one given here (--token, {TOKEN_VARIABLE}, or \
                 admin.token of the configuration)",
                self.admin
            ),
            (_, Some(said)) => anyhow!("{said}"),
            (status, None) => anyhow!(
                "what answers at {} is no admin API of hookgate: {status}",
                self.admin
            ),
        };
        Err(Failure::Failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hold_any_name() {
        assert_eq!(path(&["targets", "a-1", "pause"]), "/targets/a-1/pause");
        assert_eq!(path(&["events", "../x?y=é"]), "/events/..%2Fx%3Fy%3D%C3%A9");
    }

    #[test]
    fn an_admin_side_is_a_url_with_a_host() {
        for good in [
            "http://127.0.0.1:9444",
            "http://gate:9444/",
            "https://gate/hookgate",
        ] {
            admin_url(good).expect(good);
        }
        for bad in [
            "127.0.0.1:9444",
            "ftp://gate/",
            "http://",
            "/metrics",
            "http://a/?b",
            "",
        ] {
            admin_url(bad).expect_err(bad);
        }
    }

    #[test]
    fn only_the_admin_section_has_to_be_set() {
        let asked = |admin: &str| {
            let text = format!(
                "admin: {admin}\nsources: {{ a: {{ verify: bearer, secret: \"${{HOOKGATE_NOT_SET}}\", forward: 'http://a/' }} }}\n"
            );
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("a.yaml");
            std::fs::write(&file, text).expect("written");
            let gateway = Gateway {
                config: origin::ConfigFile {
                    file: Some(file),
                    env_file: None,
                },
                admin: None,
                token: None,
                json: false,
            };
            gateway.find().map(|ask| (ask.admin.to_string(), ask.token))
        };
        let (admin, token) = asked("{ listen: '0.0.0.0:9000' }").expect("found");
        assert_eq!((admin.as_str(), token), ("http://127.0.0.1:9000/", None));
        let (_, token) = asked("{ token: abc }").expect("found");
        assert_eq!(token.expect("a token").as_bytes(), b"Bearer abc");
        let unset = asked("{ token: \"${HOOKGATE_NOT_SET}\" }");
        assert!(
            matches!(unset, Err(Failure::Failed(error)) if error.to_string().contains("not set here"))
        );
        let zero = asked("{ listen: '127.0.0.1:0' }");
        assert!(matches!(zero, Err(Failure::Usage(said)) if said.contains("port 0")));
    }
}
