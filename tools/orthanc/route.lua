-- For Orthanc: every CT series goes to the node, which sends its segmentation and report back. docs/node.md
NODE = 'PNEUMO'

-- Of a series, in Orthanc's own database: how many of its images the node has. Numbers from 1024 on are for users
SENT = '/metadata/4711'

-- Series, and the number of their images, by the job that sends them. Orthanc itself remembers ten jobs that have
-- ended, and no more
sending = {}

function Images(seriesId)
  return #ParseJson(RestApiGet('/series/' .. seriesId))['Instances']
end

function Send(seriesId)
  local job = { Resources = { seriesId }, Synchronous = false }
  -- Before: an image that comes meanwhile makes the series stable once more, and it goes out again
  local images = Images(seriesId)
  print('CT series to ' .. NODE .. ': ' .. seriesId)
  local answer = ParseJson(RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(job)))
  sending[answer['ID']] = { series = seriesId, images = images }
end

function OnStableSeries(seriesId, tags, metadata)
  -- What comes back is of modalities SEG and SR
  if tags['Modality'] == 'CT' then
    Send(seriesId)
  end
end

-- Whether the node lacks something of a series
function IsLacking(seriesId)
  local metadata = ParseJson(RestApiGet('/series/' .. seriesId .. '/metadata'))
  for _, name in ipairs(metadata) do
    if name == '4711' then
      return tonumber(RestApiGet('/series/' .. seriesId .. SENT)) ~= Images(seriesId)
    end
  end
  return true
end

-- Orthanc forgets what it was about to send when it is killed: what came since yesterday and was not sent goes out
-- again. What has been sent does not: what was cut off would wait behind all of it
function Initialize()
  local yesterday = os.date('!%Y%m%dT%H%M%S', os.time() - 86400)
  local query = { Level = 'Series', Query = { Modality = 'CT' } }
  for _, seriesId in ipairs(ParseJson(RestApiPost('/tools/find', DumpJson(query)))) do
    if RestApiGet('/series/' .. seriesId .. '/metadata/LastUpdate') > yesterday and IsLacking(seriesId) then
      Send(seriesId)
    end
  end
end

-- What the node could not take, since it was away or full, goes out again after a pause: with the next beat of Orthanc
-- 1.11.1 and newer (LuaHeartBeatPeriod), with the next object that is stored or sent of an older one. At once and
-- for ever, as a job that is resubmitted where it fails, would keep Orthanc busy and from ending
PAUSE_S = 10
failed = {}

function OnJobFailure(jobId)
  if sending[jobId] then
    failed[sending[jobId].series] = os.time()
    sending[jobId] = nil
  end
end

function Retry()
  for seriesId, at in pairs(failed) do
    if os.time() - at >= PAUSE_S then
      failed[seriesId] = nil
      Send(seriesId)
    end
  end
end

function OnHeartBeat()
  Retry()
end

function OnStoredInstance(instanceId, tags, metadata, origin)
  Retry()
end

function OnJobSuccess(jobId)
  local sent = sending[jobId]
  if sent then
    RestApiPut('/series/' .. sent.series .. SENT, tostring(sent.images))
    sending[jobId] = nil
  end
  Retry()
end
