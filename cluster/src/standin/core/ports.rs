//! Host ports for game servers.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

/// The ports of a GameServer's spec with a host port for each that wants one, or `None` if too few are free.
///
/// The search begins at `from`, so that stand-ins of several namespaces on one node rarely meet. A port of both
/// protocols becomes two, as in Agones.
pub fn allocate(
    ports: &[Value],
    used: &BTreeSet<u16>,
    range: &RangeInclusive<u16>,
    from: u16,
) -> Option<(Vec<Value>, BTreeSet<u16>)> {
    let mut free = (from..=*range.end()).chain(*range.start()..from).filter(|port| !used.contains(port));
    let (mut filled, mut taken) = (Vec::new(), BTreeSet::new());
    for port in ports {
        let mut port = port.clone();
        let policy = port["portPolicy"].as_str().unwrap_or_default();
        if policy == "Dynamic" || policy == "Passthrough" {
            let host_port = free.next()?;
            taken.insert(host_port);
            if policy == "Passthrough" {
                port["containerPort"] = json!(host_port);
            }
            port["hostPort"] = json!(host_port);
        }
        if port["protocol"] == "TCPUDP" {
            filled.extend(both_protocols(&port));
        } else {
            filled.push(port);
        }
    }
    Some((filled, taken))
}

fn both_protocols(port: &Value) -> [Value; 2] {
    let name = port["name"].as_str().unwrap_or_default().to_owned();
    ["TCP", "UDP"].map(|protocol| {
        let mut one = port.clone();
        one["protocol"] = json!(protocol);
        one["name"] = json!(format!("{name}-{}", protocol.to_lowercase()));
        one
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocated(ports: &Value, used: &[u16], from: u16) -> Option<Vec<Value>> {
        let used = used.iter().copied().collect();
        allocate(ports.as_array().unwrap(), &used, &(7000..=7003), from).map(|(ports, _)| ports)
    }

    #[test]
    fn dynamic_ports_get_free_ones_and_the_search_wraps_around() {
        let ports = json!([{"portPolicy": "Dynamic", "containerPort": 1}, {"portPolicy": "Dynamic"}]);
        let got = allocated(&ports, &[7003], 7002).unwrap();
        assert_eq!([&got[0]["hostPort"], &got[1]["hostPort"]], [7002, 7000]);
        assert_eq!(got[0]["containerPort"], 1);
        assert_eq!(allocated(&ports, &[7000, 7001, 7003], 7000), None, "one is not enough for two");
    }

    #[test]
    fn a_passthrough_port_is_the_same_inside_and_a_static_one_is_left_alone() {
        let ports = json!([{"portPolicy": "Passthrough"}, {"portPolicy": "Static", "hostPort": 9}]);
        let got = allocated(&ports, &[], 7000).unwrap();
        assert_eq!([&got[0]["hostPort"], &got[0]["containerPort"], &got[1]["hostPort"]], [7000, 7000, 9]);
    }

    #[test]
    fn a_port_of_both_protocols_becomes_two_with_one_number() {
        let ports = json!([{"name": "game", "portPolicy": "Dynamic", "protocol": "TCPUDP"}]);
        let got = allocated(&ports, &[], 7001).unwrap();
        let seen: Vec<_> =
            got.iter().map(|p| (p["name"].clone(), p["protocol"].clone(), p["hostPort"].clone())).collect();
        assert_eq!(
            seen,
            [(json!("game-tcp"), json!("TCP"), json!(7001)), (json!("game-udp"), json!("UDP"), json!(7001))]
        );
    }
}
