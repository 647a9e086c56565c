# puma: none
# serval: tag=loaded
# serval: workers=2
tag 'before'
load File.join(__dir__, 'support', 'loaded.rb')
