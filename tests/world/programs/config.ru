# SPDX-License-Identifier: MIT
# Tells who asks it, by Rack.
run lambda { |env|
  _, port, _, address = env['puma.socket'].peeraddr(false)
  STDERR.puts "served #{address} #{port}"
  [200, { 'content-type' => 'text/plain' }, ["#{address} #{port}"]]
}
