"""CT series of a hospital: found in a folder or zip file, read in Hounsfield units, results written back as DICOM."""
