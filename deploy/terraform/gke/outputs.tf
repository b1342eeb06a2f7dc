output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "kubeconfig_command" {
  description = "Makes kubectl speak to the cluster."
  value       = "gcloud container clusters get-credentials ${var.name} --location ${var.location} --project ${var.project}"
}

output "game_node_selector" {
  description = "For spec.template.nodeSelector of GameFleets."
  value       = { "muster.dev/nodes" = "game-servers" }
}

output "game_node_toleration" {
  description = "For spec.template.tolerations of GameFleets."
  value       = { key = "muster.dev/nodes", operator = "Equal", value = "game-servers", effect = "NoExecute" }
}
