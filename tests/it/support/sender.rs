//! The sender: requests as raw bytes over a blocking socket, so that nothing between the test and the wire
//! corrects them.

use hmac::{Hmac, KeyInit, Mac};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A first line and headers, names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Second word of the first line: a path, or a status.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, Vec<String>>,
}

impl Head {
    /// The head at the start of `bytes` and its length, once it is whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = text.split("\r\n");
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let mut headers: HashMap<String, Vec<String>> = HashMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header line has a colon");
            headers
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(value.trim().to_owned());
        }
        Some((Self { target, headers }, end + 4))
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, Vec<String>>,
    pub(crate) body: String,
}

impl Reply {
    /// The only value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|values| {
            assert_eq!(values.len(), 1, "one {name} header");
            values[0].as_str()
        })
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The event's id that a success carries.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id in {self:?}"))
            .to_owned()
    }

    /// The problems that it names, each a line of text.
    #[track_caller]
    pub(crate) fn problems(&self) -> Vec<String> {
        let body = self.json();
        let problems = body["problems"].as_array().expect("a list").iter();
        problems
            .map(|problem| problem.as_str().expect("text").to_owned())
            .collect()
    }

    /// Whether it says that the event was there before.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.status == 200 && self.json()["duplicate"] == true
    }
}

/// A POST in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes on the wire, with Host and Content-Length.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = format!(
            "POST {} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {}\r\n",
            self.path,
            self.body.len()
        );
        for (name, value) in &self.headers {
            out += &format!("{name}: {value}\r\n");
        }
        out += "\r\n";
        [out.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, to: SocketAddr) -> Reply {
        Connection::open(to).send(self)
    }
}

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    #[track_caller]
    pub(crate) fn open(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).expect("the gateway takes connections"))
    }

    /// Over a socket that is open already.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .set_read_timeout(Some(super::PATIENCE))
            .expect("a TCP socket");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Reply {
        self.try_send(request).expect("an answer")
    }

    /// The same, where the gateway may go away.
    pub(crate) fn try_send(&mut self, request: &Request) -> std::io::Result<Reply> {
        self.try_write(&request.bytes())?;
        self.read_reply()?
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    /// Writes bytes as they are.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The same, where the gateway may go away.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The socket itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads one answer; none when the gateway closes first. 100 Continue is passed over.
    pub(crate) fn read_reply(&mut self) -> std::io::Result<Option<Reply>> {
        loop {
            if let Some((head, used)) = Head::parse(&self.buffer) {
                let status: u16 = head.target.parse().expect("a status");
                let length: usize = head
                    .headers
                    .get("content-length")
                    .map_or(0, |v| v[0].parse().expect("a length"));
                if self.buffer.len() >= used + length {
                    let rest = self.buffer.split_off(used + length);
                    let body = String::from_utf8(self.buffer.split_off(used)).expect("UTF-8");
                    self.buffer = rest;
                    if status == 100 {
                        continue;
                    }
                    return Ok(Some(Reply {
                        status,
                        headers: head.headers,
                        body,
                    }));
                }
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                // A child of this process has ended meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one answer, which has to come.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let reply = self.read_reply().expect("readable");
        reply.expect("an answer")
    }

    /// Reads `100 Continue`.
    #[track_caller]
    pub(crate) fn wait_for_continue(&mut self) {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut got = vec![0; CONTINUE.len()];
        self.stream.read_exact(&mut got).expect("100 Continue");
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(CONTINUE)
        );
    }

    /// Reads answers until the gateway closes.
    pub(crate) fn read_to_close(&mut self) -> std::io::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        while let Some(reply) = self.read_reply()? {
            replies.push(reply);
        }
        Ok(replies)
    }
}

/// HMAC-SHA256 over the parts, in hex.
pub(crate) fn hmac_sha256_hex(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    for part in parts {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

/// Unix time in seconds.
pub(crate) fn now_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}
