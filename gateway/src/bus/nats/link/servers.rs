//! The servers that a link may connect to: those of the configuration, and those that the server last connected to knew of.

use async_nats::{ServerAddr, ServerInfo};

pub(super) struct Servers {
    configured: Vec<ServerAddr>,
    discovered: Vec<ServerAddr>,
}

impl Servers {
    pub(super) fn new(configured: Vec<ServerAddr>) -> Self {
        Self {
            configured,
            discovered: Vec::new(),
        }
    }

    /// Takes over the addresses of the cluster that a server names. One that names none, or only what is no address,
    /// changes nothing.
    pub(super) fn discover(&mut self, info: &ServerInfo) {
        let urls = info.connect_urls.iter();
        let known: Vec<ServerAddr> = urls.filter_map(|url| url.parse().ok()).collect();
        if !known.is_empty() {
            self.discovered = known;
        }
    }

    /// All of them, each once, in random order, so that gateways spread over the servers.
    pub(super) fn shuffled(&self) -> Vec<ServerAddr> {
        let mut all = self.configured.clone();
        let place = |server: &ServerAddr| (server.host().to_owned(), server.port());
        for server in &self.discovered {
            if all.iter().all(|known| place(known) != place(server)) {
                all.push(server.clone());
            }
        }
        fastrand::shuffle(&mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(urls: &[&str]) -> ServerInfo {
        ServerInfo {
            connect_urls: urls.iter().map(|&url| url.to_owned()).collect(),
            ..ServerInfo::default()
        }
    }

    fn sorted(servers: &Servers) -> Vec<String> {
        let mut all: Vec<_> = servers
            .shuffled()
            .iter()
            .map(|server| format!("{}:{}", server.host(), server.port()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn servers_of_the_cluster_come_beside_the_configured_ones() {
        let mut servers = Servers::new(vec!["nats://a:4222".parse().unwrap()]);
        assert_eq!(sorted(&servers), ["a:4222"]);
        servers.discover(&info(&["a:4222", "b:4222", "[::1]:4222", "no address"]));
        assert_eq!(sorted(&servers), ["::1:4222", "a:4222", "b:4222"]);
        servers.discover(&info(&[]));
        assert_eq!(sorted(&servers).len(), 3);
        servers.discover(&info(&["c:4222"]));
        assert_eq!(sorted(&servers), ["a:4222", "c:4222"]);
    }
}
