variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "location" {
  description = "Zone (one control plane) or region (three) of the cluster, such as europe-west3-a."
  type        = string
}

variable "name" {
  description = "Name of the cluster, and prefix of what belongs to it."
  type        = string
  default     = "muster"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "name must be lower-case letters, digits and dashes, 31 at most, and begin with a letter."
  }
}

variable "network" {
  description = "VPC network. Game servers are reached at their nodes' public addresses."
  type        = string
  default     = "default"
}

variable "subnetwork" {
  description = "Subnetwork of that network; null: the one of the region in an auto-mode network."
  type        = string
  default     = null
}

variable "kubernetes_version" {
  description = "Prefix of the cluster's version. Agones supports three versions at a time; 1.61 supports 1.34 to 1.36."
  type        = string
  default     = "1.34."
}

variable "api_client_cidrs" {
  description = "Addresses that may reach the Kubernetes API. There is no default: the whole internet is not one."
  type        = map(string)

  validation {
    condition     = length(var.api_client_cidrs) > 0 && !contains(values(var.api_client_cidrs), "0.0.0.0/0")
    error_message = "api_client_cidrs must name at least one network, and not 0.0.0.0/0."
  }
}

variable "player_cidrs" {
  description = "Addresses that may reach game servers."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "game_ports" {
  description = "Host ports that Agones gives to game servers."
  type = object({
    first = number
    last  = number
  })
  default = {
    first = 7000
    last  = 8000
  }

  validation {
    condition     = var.game_ports.first < var.game_ports.last && var.game_ports.first >= 1024 && var.game_ports.last <= 65535
    error_message = "game_ports must be a range within 1024 to 65535."
  }
}

variable "platform_nodes" {
  description = "Nodes of Muster's and Agones' programs."
  type = object({
    machine_type = string
    minimum      = number
    maximum      = number
  })
  default = {
    machine_type = "e2-standard-4"
    minimum      = 1
    maximum      = 3
  }
}

variable "game_nodes" {
  description = "Nodes of game servers, tainted so that nothing else runs there. spot: cheaper, and taken back with 25 s notice."
  type = object({
    machine_type = string
    minimum      = number
    maximum      = number
    spot         = bool
  })
  default = {
    machine_type = "c3-standard-4"
    minimum      = 1
    maximum      = 10
    spot         = false
  }
}

variable "game_namespaces" {
  description = "Namespaces of game servers; made here. Not default: it exists already."
  type        = list(string)
  default     = ["games"]
}

variable "agones_version" {
  description = "Version of Agones' chart."
  type        = string
  default     = "1.61.0"
}

variable "muster_chart" {
  description = "Muster's chart: a folder, or an OCI reference."
  type        = string
  default     = "../../../helm/muster"
}

variable "muster_image" {
  description = "Muster's image in a registry that the nodes reach. By digest: nobody can change what it means."
  type = object({
    repository = string
    digest     = string
  })

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.muster_image.digest))
    error_message = "muster_image.digest must be sha256: and 64 hexadecimal digits."
  }
}

variable "muster_values" {
  description = "More values of Muster's chart, as YAML; they win over those of this module."
  type        = string
  default     = ""
}
