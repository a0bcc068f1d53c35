# SPDX-License-Identifier: MIT
# aws-nlb.sh: an AWS Network Load Balancer that sends headers, version 2. ARN is the target group's, NAME the balancer's.
#
# Without on_first_ack a server that speaks first waits for ever. Client IP preservation is on by default for instance
# targets, and then the header comes from the client, whom nobody trusts. Trust what is printed: the balancer's own
# addresses.
set -eu
aws elbv2 modify-target-group-attributes --target-group-arn "$ARN" --attributes \
    Key=proxy_protocol_v2.enabled,Value=true Key=preserve_client_ip.enabled,Value=false \
    Key=proxy_protocol_v2.client_to_server.header_placement,Value=on_first_ack
aws ec2 describe-network-interfaces --filters "Name=description,Values=ELB net/$NAME/*" \
    --query 'NetworkInterfaces[].PrivateIpAddress' --output text
