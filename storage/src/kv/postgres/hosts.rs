//! Several hosts, of which one takes writes: each is asked by itself, so that one that does not answer costs its share of the time and
//! no more.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

/// What is to be asked, one host after the other, beginning with the one that answered last: each with this much time.
pub(super) fn each(server: &Config, last: usize, time: Duration) -> (Vec<(usize, Config)>, Duration) {
    let count = server.get_hosts().len().max(server.get_hostaddrs().len()).max(1);
    // Some is left for who asks.
    let share = if count == 1 { time } else { time / (count as u32 + 1) };
    let order = (0..count).map(|place| (last + place) % count);
    (order.map(|host| (host, alone(server, host, share))).collect(), share)
}

/// The same with one host of it.
fn alone(server: &Config, host: usize, time: Duration) -> Config {
    let mut one = Config::new();
    match server.get_hosts().get(host) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    server.get_hostaddrs().get(host).map(|&address| one.hostaddr(address));
    let ports = server.get_ports();
    ports.get(host).or(ports.first()).map(|&port| one.port(port));
    server.get_user().map(|user| one.user(user));
    server.get_password().map(|password| one.password(password));
    server.get_dbname().map(|name| one.dbname(name));
    server.get_options().map(|options| one.options(options));
    one.application_name(server.get_application_name().unwrap_or("sealgate"));
    one.ssl_mode(server.get_ssl_mode()).ssl_negotiation(server.get_ssl_negotiation());
    one.channel_binding(server.get_channel_binding());
    one.keepalives(server.get_keepalives()).keepalives_idle(server.get_keepalives_idle());
    server.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    server.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    server.get_tcp_user_timeout().map(|&timeout| one.tcp_user_timeout(timeout));
    one.target_session_attrs(TargetSessionAttrs::ReadWrite).connect_timeout(time);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_asked_alone_beginning_with_the_last_that_answered() {
        let server: Config =
            "postgres://u:p@h1:1,h2:2,h3:3/map?sslmode=require&keepalives=0".parse().unwrap();
        let (asked, share) = each(&server, 2, Duration::from_secs(4));
        assert_eq!(share, Duration::from_secs(1));
        let ports: Vec<_> = asked.iter().map(|(host, one)| (*host, one.get_ports().to_vec())).collect();
        assert_eq!(ports, [(2, vec![3]), (0, vec![1]), (1, vec![2])]);
        for (_, one) in asked {
            assert_eq!(one.get_hosts().len(), 1);
            assert_eq!((one.get_user(), one.get_password()), (Some("u"), Some(&b"p"[..])));
            assert_eq!((one.get_dbname(), one.get_ssl_mode()), (Some("map"), server.get_ssl_mode()));
            assert!(!one.get_keepalives());
        }
        let local: Config = "host=/run/postgresql dbname=map".parse().unwrap();
        assert_eq!(each(&local, 0, Duration::from_secs(4)).1, Duration::from_secs(4));
    }
}
