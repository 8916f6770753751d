//! An address that takes no connection and refuses none, as one behind a firewall that drops packets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use tokio::net::TcpSocket;

/// Its queue of connections is full: the kernel drops who knocks. Dropped, it is a free port again.
pub(crate) struct Hole {
    address: SocketAddr,
    #[expect(dead_code, reason = "held open")]
    listener: TcpListener,
    #[expect(dead_code, reason = "held open")]
    queued: TcpStream,
}

impl Hole {
    /// At an address, or with port 0 at a free one.
    pub(crate) fn dig(at: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("a socket");
            socket
                .bind(at.parse().expect("an address"))
                .expect("a free port");
            // Std's own listeners have room for thousands.
            let listener = socket.listen(0).expect("a listener");
            listener.into_std().expect("a listener")
        });
        let address = listener.local_addr().expect("an address");
        let queued = TcpStream::connect(address).expect("room for one");
        Self {
            address,
            listener,
            queued,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
