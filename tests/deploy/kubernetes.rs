//! The manifests of Kubernetes: by the schemas that Kubernetes and the operator of Prometheus publish, and by what a worker needs.
//! For `CloudNativePG` no package carries the schema; of its Cluster a test checks what the others rely on.

use super::files::{longest_drain, npm, path, run, yaml};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::Write as _;
use tokio::process::Command;
use wagres::config::Config;

/// Every resource that kustomize would apply.
async fn resources() -> Result<Vec<Value>> {
    let folder = path("deploy/kubernetes");
    let kustomization = yaml(&folder.join("kustomization.yaml")).await?;
    let listed = kustomization[0]["resources"].as_array().context("resources")?;
    let mut files: Vec<String> = vec![];
    for entry in std::fs::read_dir(&folder)? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(files.len() == listed.len() + 1, "a file is not in kustomization.yaml: {files:?}");
    let mut found = vec![];
    for file in listed {
        found.extend(yaml(&folder.join(file.as_str().context("a name")?)).await?);
    }
    Ok(found)
}

/// The resource of a kind and a name.
fn named<'a>(resources: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let is = |it: &&Value| it["kind"] == kind && it["metadata"]["name"] == name;
    resources.iter().find(is).with_context(|| format!("no {kind} {name}"))
}

#[tokio::test]
async fn h10_kubernetes_schemas_accept_the_manifests() -> Result<()> {
    let python = crate::support::pypi::install().await?;
    let all = resources().await?;
    let (custom, own): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|it| it["apiVersion"].as_str().is_some_and(|of| of.contains(".c")));
    let folder = tempfile::tempdir()?;
    // JSON is YAML.
    for (n, resource) in own.iter().enumerate() {
        let file = folder.path().join(format!("{n}.yaml"));
        write!(std::fs::File::create(&file)?, "{resource}")?;
        run(Command::new(&python).args(["-m", "kubernetes_validate", "--strict", "--quiet"]).arg(&file)).await?;
    }
    ensure!(own.len() == 11, "{} resources of Kubernetes itself", own.len());

    let monitor = named(&custom, "ServiceMonitor", "wagres")?;
    let check = "import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
        new ServiceMonitor(JSON.parse(process.argv[1])).validate()";
    let home = npm().await?;
    let checked = async |monitor: &Value| {
        run(Command::new("node").current_dir(&home).args(["--input-type=module", "-e", check]).arg(monitor.to_string()))
            .await
    };
    checked(monitor).await?;
    let mut wrong = monitor.clone();
    wrong["spec"]["endpoints"] = json!("all");
    ensure!(checked(&wrong).await.is_err(), "the schema accepts anything");

    let cluster = named(&custom, "Cluster", "wagres-postgres")?;
    ensure!(cluster["apiVersion"] == "postgresql.cnpg.io/v1", "{cluster}");
    let spec = cluster["spec"].as_object().context("spec")?;
    let known = ["instances", "imageName", "storage", "postgresql", "bootstrap", "managed", "resources"];
    ensure!(spec.keys().all(|key| known.contains(&key.as_str())), "{spec:?}");
    ensure!(spec["instances"].as_u64() >= Some(3) && spec["storage"]["size"].is_string(), "{spec:?}");
    ensure!(spec["bootstrap"]["initdb"]["owner"] == spec["managed"]["roles"][0]["name"], "{spec:?}");
    ensure!(spec["managed"]["roles"][0]["createrole"] == true, "migrate makes roles: {spec:?}");
    Ok(())
}

#[tokio::test]
async fn h10_pods_drain_are_probed_and_run_without_rights() -> Result<()> {
    let all = resources().await?;
    let worker = named(&all, "Deployment", "wagres-worker")?;
    let grace = worker.pointer("/spec/template/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    ensure!(grace.is_some_and(|seconds| seconds > longest_drain()), "{grace:?}");
    ensure!(worker["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, "{worker}");
    let container = |of: &Value| of.pointer("/spec/template/spec/containers/0").cloned().context("a container");
    let one = container(worker)?;
    ensure!(one["livenessProbe"]["httpGet"]["path"] == "/livez", "{one}");
    ensure!(one["readinessProbe"]["httpGet"]["path"] == "/health", "{one}");
    let settings = &named(&all, "ConfigMap", "wagres")?["data"];
    let drain = Config::default().worker.drain_seconds.to_string();
    ensure!(settings["WAGRES_WORKER__DRAIN_SECONDS"] == drain.as_str(), "the grace period is for {drain} s");
    for (kind, name) in [("Deployment", "wagres-worker"), ("Deployment", "wagres-web"), ("Job", "wagres-migrate")] {
        let resource = named(&all, kind, name)?;
        let (pod, one) = (resource.pointer("/spec/template/spec").context("a pod")?, container(resource)?);
        ensure!(pod["securityContext"]["runAsNonRoot"] == true, "{name}");
        ensure!(pod["automountServiceAccountToken"] == false, "{name}");
        let rights = &one["securityContext"];
        ensure!(rights["readOnlyRootFilesystem"] == true && rights["capabilities"]["drop"] == json!(["ALL"]), "{name}");
        let address = &one["env"][0];
        ensure!(address["valueFrom"]["secretKeyRef"]["name"] == "wagres-postgres-app", "{name}: {address}");
    }
    for name in ["wagres-worker", "wagres-web"] {
        let (deployment, budget) = (named(&all, "Deployment", name)?, named(&all, "PodDisruptionBudget", name)?);
        ensure!(deployment["spec"]["selector"] == budget["spec"]["selector"], "{name}");
        ensure!(deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]);
    }
    // The monitor finds the service, and the service the port of the pods.
    let (monitor, service) = (named(&all, "ServiceMonitor", "wagres")?, named(&all, "Service", "wagres-metrics")?);
    let (wanted, labels) = (&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]);
    ensure!(wanted == labels, "{wanted} {labels}");
    ensure!(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"], "{service}");
    ensure!(service["spec"]["ports"][0]["targetPort"] == one["ports"][0]["name"], "{one}");
    Ok(())
}
