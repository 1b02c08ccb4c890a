//! The manifests, built by kustomize and decoded into the published types.

use serde_json::{Value, json};

use super::parts::{check, configuration, deployed};

#[test]
fn the_base_and_the_overlay_are_objects_of_published_types_and_their_pods_are_restricted() {
    let base = [
        "ConfigMap",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "Service",
    ];
    let base = [&base[..], &["ServiceAccount", "StatefulSet"]].concat();
    let Some(objects) = objects("base") else {
        return;
    };
    assert_eq!(kinds(&objects), base);
    let Some(objects) = self::objects("overlays/etcd-tls") else {
        return;
    };
    let mut more = base.clone();
    more.push("ServiceMonitor");
    more.sort_unstable();
    assert_eq!(kinds(&objects), more);
}

#[test]
fn every_selector_means_the_servers() {
    let Some(objects) = objects("overlays/etcd-tls") else {
        return;
    };
    let set = one(&objects, "StatefulSet");
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(*labels, json!({"app.kubernetes.io/name": "pinion"}));
    assert_eq!(set["spec"]["selector"]["matchLabels"], *labels);
    for service in objects.iter().filter(|each| each["kind"] == "Service") {
        assert_eq!(service["spec"]["selector"], *labels);
        assert_eq!(service["spec"]["ports"][0]["port"], 7460);
    }
    let budget = one(&objects, "PodDisruptionBudget");
    assert_eq!(budget["spec"]["selector"]["matchLabels"], *labels);
    let policy = one(&objects, "NetworkPolicy");
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"], *labels);
    let spread = &set["spec"]["template"]["spec"]["topologySpreadConstraints"];
    for each in spread.as_array().unwrap() {
        assert_eq!(each["labelSelector"]["matchLabels"], *labels);
    }
    // Of the two Services, which have the same servers, exactly one is scraped.
    let monitor = &one(&objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let wanted = monitor.as_object().unwrap();
    let scraped = objects.iter().filter(|each| {
        let has = |(name, value)| each["metadata"]["labels"].get(name) == Some(value);
        each["kind"] == "Service" && wanted.iter().all(has)
    });
    assert_eq!(scraped.count(), 1);
}

#[test]
fn no_secret_is_in_them_and_what_a_server_reads_is_mounted() {
    for folder in ["base", "overlays/etcd-tls"] {
        let Some(objects) = objects(folder) else {
            return;
        };
        assert!(!kinds(&objects).contains(&"Secret"));
        let pod = &one(&objects, "StatefulSet")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        let is_mounted = |path: &str| mounts.iter().any(|mount| path.starts_with(mount));
        let config = configuration(&format!("kubernetes/{folder}/pinion.toml"));
        let tls = config.tls.as_ref().unwrap();
        for path in [&tls.certificate, &tls.key, &config.data_dir] {
            assert!(is_mounted(path.to_str().unwrap()), "{path:?}");
        }
        assert_eq!(config.listen.port(), 7460);
        let set = &container["env"][0];
        assert_eq!(
            (
                set["name"].as_str(),
                is_mounted(set["value"].as_str().unwrap())
            ),
            (Some("PINION_CONFIG"), true)
        );
        // The configuration of the overlay replaces that of the base, whole.
        let text = super::parts::text_of(&format!("kubernetes/{folder}/pinion.toml"));
        assert_eq!(
            one(&objects, "ConfigMap")["data"],
            json!({"pinion.toml": text})
        );
    }
}

#[test]
fn an_exporter_is_named_and_allowed_out_together() {
    let Some(objects) = objects("overlays/etcd-tls") else {
        return;
    };
    let container = &one(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    let set = container["env"].as_array().unwrap();
    assert!(
        set.iter()
            .any(|each| each["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT")
    );
    let out = &one(&objects, "NetworkPolicy")["spec"]["egress"];
    let mut ports: Vec<u64> = out
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["ports"].as_array().unwrap())
        .map(|port| port["port"].as_u64().unwrap())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [53, 53, 443, 2379, 4317]);
}

fn objects(folder: &str) -> Option<Vec<Value>> {
    let built = check("kubernetes", &deployed("kubernetes").join(folder))?;
    Some(built.as_array().unwrap().clone())
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = objects
        .iter()
        .map(|each| each["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|each| each["kind"] == kind);
    let first = found.next().unwrap();
    assert!(found.next().is_none());
    first
}
