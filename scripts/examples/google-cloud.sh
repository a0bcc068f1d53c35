# SPDX-License-Identifier: MIT
# google-cloud.sh: a TCP proxy of Google Cloud's that sends headers, version 1. PROXY is its name.
#
# Trust 35.191.0.0/16 and 130.211.0.0/22, or for an Envoy-based one the proxy-only subnet.
set -eu
gcloud compute target-tcp-proxies update "$PROXY" --proxy-header=PROXY_V1
